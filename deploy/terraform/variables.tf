# Checked in modules/definition.

variable "name" {
  description = "Name of the container; names of volumes begin with it."
  type        = string
  default     = "cloudwatch-sidecar"
}

variable "image" {
  description = "The sidecar's image, with a tag or a digest."
  type        = string
}

variable "config" {
  description = "The sidecar's configuration, as in its YAML file: yamldecode(file(\"sidecar.yaml\"))."
  type        = any
  default     = {}
}

variable "region" {
  description = "AWS_REGION of the sidecar; null: the platform's, which Fargate sets."
  type        = string
  default     = null
}

variable "launch_type" {
  description = "FARGATE or EC2."
  type        = string
  default     = "FARGATE"
}

variable "resources" {
  description = "CPU units and memory in MiB; null: no limit of its own."
  type = object({
    cpu                = optional(number)
    memory             = optional(number, 256)
    memory_reservation = optional(number, 128)
  })
  default = {}
}

variable "socket" {
  description = "A Unix socket for DogStatsD clients, in a volume that both containers mount."
  type        = bool
  default     = true
}

variable "spool" {
  description = "Store on disk what is not delivered, in a volume of the task: survives the container, not the task."
  type        = bool
  default     = false
}

variable "redirect_aws_sdk" {
  description = "The application's AWS SDK sends its own PutMetricData and PutLogEvents to the sidecar. False where it makes other calls to CloudWatch."
  type        = bool
  default     = true
}

variable "stop_timeout" {
  description = "Seconds from SIGTERM to SIGKILL: 5 or more above deliver.drain_seconds."
  type        = number
  default     = 40
}

variable "log" {
  description = "Where the sidecar's own log goes; null: nowhere."
  type = object({
    group         = string
    region        = string
    stream_prefix = optional(string, "sidecar")
  })
  default = null
}

variable "environment" {
  description = "Further environment variables of the sidecar; they win."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Further environment variables from Secrets Manager or Parameter Store: name to ARN."
  type        = map(string)
  default     = {}
}

variable "namespaces" {
  description = "Every CloudWatch namespace that is sent to; empty: config.namespace alone."
  type        = list(string)
  default     = []
}

variable "log_group_arns" {
  description = "ARNs of log groups that the sidecar sends to and this module does not create."
  type        = list(string)
  default     = []
}

variable "allow_creating_groups" {
  description = "Whether the sidecar may create log groups that do not exist, and set their retention."
  type        = bool
  default     = false
}

variable "depends_on_healthy" {
  description = "False: the application starts even where the sidecar cannot."
  type        = bool
  default     = true
}

variable "log_groups" {
  description = "Log groups to create, by name. Leave out those that the output of `sidecar generate log-groups` creates, and give their ARNs in log_group_arns."
  type = map(object({
    retention_days = optional(number)
    kms_key_id     = optional(string)
    class          = optional(string, "STANDARD")
  }))
  default = {}

  validation {
    condition = alltrue([
      for group in var.log_groups : group.retention_days == null ? true : contains(
        [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
        group.retention_days,
      )
    ])
    error_message = "retention_days has to be a value that CloudWatch Logs has, such as 30."
  }
  validation {
    condition     = alltrue([for group in var.log_groups : contains(["STANDARD", "INFREQUENT_ACCESS"], group.class)])
    error_message = "class has to be STANDARD or INFREQUENT_ACCESS."
  }
}

variable "tags" {
  description = "Tags of the log groups."
  type        = map(string)
  default     = {}
}
