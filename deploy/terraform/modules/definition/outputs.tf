output "container_definition" {
  description = "The sidecar's container, an element of container_definitions."
  value       = { for key, value in local.container : key => value if value != null }

  precondition {
    condition     = var.stop_timeout >= local.drain_seconds + 5
    error_message = "stop_timeout has to be 5 s or more above deliver.drain_seconds: after it comes SIGKILL."
  }
  precondition {
    condition     = var.launch_type == "FARGATE" || contains(keys(local.environment), "AWS_REGION")
    error_message = "region is needed on EC2, where older agents set no AWS_REGION."
  }
}

output "app_environment" {
  description = "Elements of environment of the application's container: where the sidecar listens."
  value       = [for key in sort(keys(local.application)) : { name = key, value = local.application[key] } if local.application[key] != null]
}

output "app_depends_on" {
  description = "Elements of dependsOn of every other container: the sidecar starts first and stops last."
  value       = [{ containerName = var.name, condition = var.depends_on_healthy ? "HEALTHY" : "START" }]
}

output "app_mount_points" {
  description = "Elements of mountPoints of the application's container: the folder of the socket."
  value       = local.mount_points
}

output "volumes" {
  description = "Names of the task definition's volumes."
  value       = concat(var.socket ? ["${var.name}-sockets"] : [], var.spool ? ["${var.name}-spool"] : [])
}

output "policy_json" {
  description = "What the task role has to allow, as a policy document."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "SendMetrics"
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = ["*"]
        Condition = { StringEquals = { "cloudwatch:namespace" = local.namespaces } }
      }],
      length(local.groups) == 0 ? [] : [{
        Sid      = "SendLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = local.groups
      }],
      length(local.groups) == 0 || !var.allow_creating_groups ? [] : [{
        Sid      = "CreateGroups"
        Effect   = "Allow"
        Action   = ["logs:CreateLogGroup", "logs:PutRetentionPolicy"]
        Resource = local.groups
      }],
    )
  })
}
