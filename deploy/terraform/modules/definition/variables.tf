# Described, with their defaults, in the module around this one.

variable "name" {
  type = string
}

variable "image" {
  type = string

  validation {
    condition     = can(regex("(:[\\w.-]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image needs a tag other than latest, or a digest: a task has to be what it was when it was tested."
  }
}

variable "config" {
  type = any

  validation {
    condition = alltrue([
      for key in keys(var.config) : contains(["region", "namespace", "dimensions", "listen", "metrics", "logs", "emf", "aws", "deliver", "observe", "watch"], key)
    ])
    error_message = "config has a key that the sidecar does not know."
  }
  validation {
    condition     = !can(regex("[$][{]", jsonencode(var.config)))
    error_message = "config becomes environment variables, in which the sidecar fills no variables in: use templatefile() instead of file()."
  }
}

variable "region" {
  type = string
}

variable "launch_type" {
  type = string

  validation {
    condition     = contains(["FARGATE", "EC2"], var.launch_type)
    error_message = "launch_type has to be FARGATE or EC2."
  }
}

variable "resources" {
  type = object({
    cpu                = optional(number)
    memory             = optional(number, 256)
    memory_reservation = optional(number, 128)
  })

  validation {
    condition     = var.resources.memory == null ? true : var.resources.memory >= 128
    error_message = "resources.memory has to be 128 MiB or more: the sidecar takes about 90 MB when idle."
  }
}

variable "socket" {
  type = bool
}

variable "spool" {
  type = bool
}

variable "redirect_aws_sdk" {
  type = bool
}

variable "stop_timeout" {
  type = number

  validation {
    condition     = var.stop_timeout >= 2 && var.stop_timeout <= 120
    error_message = "stop_timeout has to be 2 to 120 s."
  }
}

variable "log" {
  type = object({
    group         = string
    region        = string
    stream_prefix = optional(string, "sidecar")
  })
}

variable "environment" {
  type = map(string)
}

variable "secrets" {
  type = map(string)
}

variable "namespaces" {
  type = list(string)

  validation {
    condition     = !anytrue([for namespace in var.namespaces : strcontains(namespace, "*")])
    error_message = "namespaces are compared as they are: no wildcards."
  }
}

variable "log_group_arns" {
  type = list(string)
}

variable "allow_creating_groups" {
  type = bool
}

variable "depends_on_healthy" {
  type = bool
}
