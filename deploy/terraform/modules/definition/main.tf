locals {
  # A key of a section is SIDECAR_<SECTION>__<KEY>, of the top level SIDECAR_<KEY>; lists and mappings are JSON. `watch`
  # is what `sidecar generate` reads, and not the daemon.
  sections = toset(["listen", "metrics", "logs", "emf", "aws", "deliver", "observe"])
  given = merge(
    { for key, value in var.config : "SIDECAR_${upper(key)}" => value if !contains(local.sections, key) && key != "watch" },
    [
      for section, keys in var.config : {
        for key, value in keys : "SIDECAR_${upper(section)}__${upper(key)}" => value
      } if contains(local.sections, section)
    ]...
  )
  ours = {
    for key, value in {
      AWS_REGION                    = var.region
      SIDECAR_LISTEN__STATSD_SOCKET = var.socket ? local.socket : null
      SIDECAR_DELIVER__SPOOL_DIR    = var.spool ? "/var/lib/sidecar" : null
    } : key => value if value != null
  }
  environment = merge(
    local.ours,
    { for key, value in local.given : key => value == null ? "null" : try(tostring(value), jsonencode(value)) },
    var.environment,
  )

  socket        = "/var/run/sidecar/dsd.socket"
  http_port     = try(coalesce(local.given["SIDECAR_LISTEN__HTTP_PORT"]), 8127)
  drain_seconds = try(coalesce(local.given["SIDECAR_DELIVER__DRAIN_SECONDS"]), 25)

  mount_points = concat(
    var.socket ? [{ sourceVolume = "${var.name}-sockets", containerPath = "/var/run/sidecar" }] : [],
  )

  container = {
    name                   = var.name
    image                  = var.image
    essential              = false
    restartPolicy          = { enabled = true, restartAttemptPeriod = 60 }
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    cpu                    = var.resources.cpu
    memory                 = var.resources.memory
    memoryReservation      = var.resources.memory_reservation
    healthCheck = {
      command     = ["CMD", "sidecar", "health"]
      interval    = 5
      timeout     = 5
      retries     = 3
      startPeriod = 10
    }
    startTimeout = 60
    stopTimeout  = var.stop_timeout
    environment  = [for key in sort(keys(local.environment)) : { name = key, value = local.environment[key] }]
    secrets      = length(var.secrets) == 0 ? null : [for key in sort(keys(var.secrets)) : { name = key, valueFrom = var.secrets[key] }]
    mountPoints = concat(
      local.mount_points,
      var.spool ? [{ sourceVolume = "${var.name}-spool", containerPath = "/var/lib/sidecar" }] : [],
    )
    logConfiguration = var.log == null ? null : {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = var.log.group
        "awslogs-region"        = var.log.region
        "awslogs-stream-prefix" = var.log.stream_prefix
        "mode"                  = "non-blocking"
      }
    }
  }

  application = {
    STATSD_HOST                      = "127.0.0.1"
    STATSD_PORT                      = tostring(try(coalesce(local.given["SIDECAR_LISTEN__STATSD_PORT"]), 8125))
    INGEST_URL                       = "http://127.0.0.1:${local.http_port}"
    AWS_EMF_AGENT_ENDPOINT           = "tcp://127.0.0.1:${try(coalesce(local.given["SIDECAR_LISTEN__EMF_PORT"]), 25888)}"
    DD_DOGSTATSD_URL                 = var.socket ? "unix://${local.socket}" : null
    AWS_ENDPOINT_URL_CLOUDWATCH      = var.redirect_aws_sdk ? "http://127.0.0.1:${local.http_port}" : null
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS = var.redirect_aws_sdk ? "http://127.0.0.1:${local.http_port}" : null
  }

  namespaces = length(var.namespaces) > 0 ? var.namespaces : [try(var.config.namespace, "Sidecar")]
  # Both forms: some actions are checked against the group, others against the group with its streams.
  groups = flatten([for arn in var.log_group_arns : [trimsuffix(arn, ":*"), "${trimsuffix(arn, ":*")}:*"]])
}
