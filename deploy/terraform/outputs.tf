output "container_definition" {
  description = "The sidecar's container, an element of container_definitions."
  value       = module.definition.container_definition
}

output "app_environment" {
  description = "Elements of environment of the application's container: where the sidecar listens."
  value       = module.definition.app_environment
}

output "app_depends_on" {
  description = "Elements of dependsOn of every other container: the sidecar starts first and stops last."
  value       = module.definition.app_depends_on
}

output "app_mount_points" {
  description = "Elements of mountPoints of the application's container: the folder of the socket."
  value       = module.definition.app_mount_points
}

output "volumes" {
  description = "Names of the task definition's volumes."
  value       = module.definition.volumes
}

output "policy_json" {
  description = "What the task role has to allow, as a policy document."
  value       = module.definition.policy_json
}

output "log_group_names" {
  description = "Names of the log groups that this module created."
  value       = [for group in aws_cloudwatch_log_group.this : group.name]
}
