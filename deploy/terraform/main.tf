# Owns log groups and nothing else. The task definition, the role and the service are yours: concatenate
# container_definition with your own, attach policy_json to the task role.

resource "aws_cloudwatch_log_group" "this" {
  for_each = var.log_groups

  name              = each.key
  retention_in_days = each.value.retention_days
  kms_key_id        = each.value.kms_key_id
  log_group_class   = each.value.class
  tags              = var.tags
}

module "definition" {
  source = "./modules/definition"

  name                  = var.name
  image                 = var.image
  config                = var.config
  region                = var.region
  launch_type           = var.launch_type
  resources             = var.resources
  socket                = var.socket
  spool                 = var.spool
  redirect_aws_sdk      = var.redirect_aws_sdk
  stop_timeout          = var.stop_timeout
  log                   = var.log
  environment           = var.environment
  secrets               = var.secrets
  namespaces            = var.namespaces
  log_group_arns        = concat([for group in aws_cloudwatch_log_group.this : group.arn], var.log_group_arns)
  allow_creating_groups = var.allow_creating_groups
  depends_on_healthy    = var.depends_on_healthy
}
