# An application with the sidecar beside it, on EC2 instances. One configuration file serves the daemon, this module and
# `sidecar generate`, which writes the alarms, dashboards and queries for what it sends:
#
#   for part in alarms dashboard queries; do
#     sidecar generate $part --format terraform --config sidecar.yaml > $part.tf
#   done

module "sidecar" {
  source = "../.."

  image       = "cloudwatch-sidecar:0.1.0"
  launch_type = "EC2"
  region      = "eu-west-1"
  spool       = true
  config      = yamldecode(file("${path.module}/sidecar.yaml"))
  log_groups  = { "/axonflow/production/my-app" = { retention_days = 30 } }
  log         = { group = "/ecs/my-app", region = "eu-west-1" }
}

resource "aws_ecs_task_definition" "app" {
  family                   = "my-app"
  requires_compatibilities = ["EC2"]
  network_mode             = "awsvpc"
  execution_role_arn       = "arn:aws:iam::111122223333:role/my-app-execution"
  task_role_arn            = aws_iam_role.task.arn

  container_definitions = jsonencode([
    module.sidecar.container_definition,
    {
      name        = "app"
      image       = "my-app:1.0.0"
      essential   = true
      memory      = 512
      stopTimeout = 30
      environment = module.sidecar.app_environment
      dependsOn   = module.sidecar.app_depends_on
      mountPoints = module.sidecar.app_mount_points
    },
  ])

  dynamic "volume" {
    for_each = module.sidecar.volumes
    content {
      name = volume.value
    }
  }
}

resource "aws_iam_role" "task" {
  name = "my-app-task"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "sidecar" {
  name   = "cloudwatch-sidecar"
  role   = aws_iam_role.task.id
  policy = module.sidecar.policy_json
}
