terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

resource "aws_iam_policy" "sidecar" {
  name        = "axonflow-production-sidecar"
  description = "What the CloudWatch sidecar calls to deliver metrics and log events."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "SendMetrics"
        Effect   = "Allow"
        Action   = ["cloudwatch:PutMetricData"]
        Resource = "*"
        Condition = {
          StringEquals = {
            "cloudwatch:namespace" = ["AxonFlow"]
          }
        }
      },
      {
        Sid    = "SendLogs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/axonflow/production/*",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/axonflow/production/*:*",
        ]
      },
      {
        Sid    = "CreateGroups"
        Effect = "Allow"
        Action = ["logs:CreateLogGroup", "logs:PutRetentionPolicy"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/axonflow/production/*",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/axonflow/production/*:*",
        ]
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "axonflow_production_agent" {
  name              = "/axonflow/production/agent"
  retention_in_days = 30
  skip_destroy      = true
}

resource "aws_cloudwatch_log_group" "axonflow_production_orchestrator" {
  name              = "/axonflow/production/orchestrator"
  retention_in_days = 30
  skip_destroy      = true
}

resource "aws_cloudwatch_log_group" "axonflow_production_customer_portal" {
  name              = "/axonflow/production/customer-portal"
  retention_in_days = 30
  skip_destroy      = true
}

resource "aws_sns_topic" "critical" {
  name = "axonflow-production-critical"
}

resource "aws_sns_topic" "warning" {
  name = "axonflow-production-warning"
}

resource "aws_sns_topic" "info" {
  name = "axonflow-production-info"
}

resource "aws_cloudwatch_metric_alarm" "high_error_rate" {
  alarm_name          = "axonflow-production-high-error-rate"
  alarm_description   = "ErrorCount in percent of RequestCount, given 20 of these or more, was above 5 in 2 of 3 periods of 300 seconds. Runbook: https://example.com/runbooks/axonflow#high-error-rate"
  alarm_actions       = [aws_sns_topic.critical.arn]
  ok_actions          = [aws_sns_topic.critical.arn]
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = 5
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "errors"
    return_data = false

    metric {
      namespace   = "AxonFlow"
      metric_name = "ErrorCount"
      period      = 300
      stat        = "Sum"
      dimensions = {
        Environment = "production"
      }
    }
  }

  metric_query {
    id          = "requests"
    return_data = false

    metric {
      namespace   = "AxonFlow"
      metric_name = "RequestCount"
      period      = 300
      stat        = "Sum"
      dimensions = {
        Environment = "production"
      }
    }
  }

  metric_query {
    id          = "result"
    expression  = "IF(requests >= 20, 100 * errors / requests, 0)"
    label       = "error rate, percent"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "high_latency" {
  alarm_name        = "axonflow-production-high-latency"
  alarm_description = "p95 of Latency was above 5000 in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/axonflow#high-latency"
  alarm_actions     = [aws_sns_topic.warning.arn]
  ok_actions        = [aws_sns_topic.warning.arn]
  namespace         = "AxonFlow"
  metric_name       = "Latency"
  dimensions = {
    Environment = "production"
  }
  extended_statistic                    = "p95"
  period                                = 300
  evaluation_periods                    = 3
  datapoints_to_alarm                   = 3
  threshold                             = 5000
  comparison_operator                   = "GreaterThanThreshold"
  treat_missing_data                    = "notBreaching"
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "policy_blocks_spike" {
  alarm_name        = "axonflow-production-policy-blocks-spike"
  alarm_description = "Sum of BlockedCount was above 100 in a period of 300 seconds. Runbook: https://example.com/runbooks/axonflow#policy-blocks-spike"
  alarm_actions     = [aws_sns_topic.warning.arn]
  ok_actions        = [aws_sns_topic.warning.arn]
  namespace         = "AxonFlow"
  metric_name       = "BlockedCount"
  dimensions = {
    Environment = "production"
  }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  threshold           = 100
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "token_budget" {
  alarm_name        = "axonflow-production-token-budget"
  alarm_description = "Sum of TokensUsed was above 900000 in a period of 86400 seconds. Runbook: https://example.com/runbooks/axonflow#token-budget"
  alarm_actions     = [aws_sns_topic.warning.arn]
  ok_actions        = [aws_sns_topic.warning.arn]
  namespace         = "AxonFlow"
  metric_name       = "TokensUsed"
  dimensions = {
    Environment = "production"
  }
  statistic           = "Sum"
  period              = 86400
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  threshold           = 900000
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "unusual_traffic" {
  alarm_name          = "axonflow-production-unusual-traffic"
  alarm_description   = "Sum of RequestCount was over 3 standard deviations from what is usual in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/axonflow#unusual-traffic"
  alarm_actions       = [aws_sns_topic.info.arn]
  ok_actions          = [aws_sns_topic.info.arn]
  threshold_metric_id = "band"
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  comparison_operator = "LessThanLowerOrGreaterThanUpperThreshold"
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "m1"
    return_data = true

    metric {
      namespace   = "AxonFlow"
      metric_name = "RequestCount"
      period      = 300
      stat        = "Sum"
      dimensions = {
        Environment = "production"
      }
    }
  }

  metric_query {
    id          = "band"
    expression  = "ANOMALY_DETECTION_BAND(m1, 3)"
    label       = "usual"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "no_requests" {
  alarm_name        = "axonflow-production-no-requests"
  alarm_description = "RequestCount had no samples in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/axonflow#no-requests"
  alarm_actions     = [aws_sns_topic.critical.arn]
  ok_actions        = [aws_sns_topic.critical.arn]
  namespace         = "AxonFlow"
  metric_name       = "RequestCount"
  dimensions = {
    Environment = "production"
  }
  statistic           = "SampleCount"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
}

resource "aws_cloudwatch_composite_alarm" "service" {
  alarm_name        = "axonflow-production-service"
  alarm_description = "At least one alarm of axonflow-production is in the state ALARM. Runbook: https://example.com/runbooks/axonflow#service"
  alarm_rule        = "ALARM(\"axonflow-production-high-error-rate\") OR ALARM(\"axonflow-production-high-latency\") OR ALARM(\"axonflow-production-policy-blocks-spike\") OR ALARM(\"axonflow-production-token-budget\") OR ALARM(\"axonflow-production-unusual-traffic\") OR ALARM(\"axonflow-production-no-requests\")"
  depends_on = [
    aws_cloudwatch_metric_alarm.high_error_rate,
    aws_cloudwatch_metric_alarm.high_latency,
    aws_cloudwatch_metric_alarm.policy_blocks_spike,
    aws_cloudwatch_metric_alarm.token_budget,
    aws_cloudwatch_metric_alarm.unusual_traffic,
    aws_cloudwatch_metric_alarm.no_requests,
  ]
}

resource "aws_cloudwatch_dashboard" "ops" {
  dashboard_name = "axonflow-production-ops"
  dashboard_body = jsonencode({
    start          = "-PT8H"
    periodOverride = "inherit"
    widgets = [
      {
        type   = "text"
        x      = 0
        y      = 0
        width  = 24
        height = 2
        properties = {
          markdown = "**axonflow-production-ops**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/axonflow)"
        }
      },
      {
        type   = "alarm"
        x      = 0
        y      = 2
        width  = 24
        height = 3
        properties = {
          title = "Alarms"
          alarms = [
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-high-error-rate",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-high-latency",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-policy-blocks-spike",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-token-budget",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-unusual-traffic",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-no-requests",
          ]
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 5
        width  = 12
        height = 6
        properties = {
          title   = "Requests"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "AxonFlow",
              "RequestCount",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "RequestCount"
              },
            ],
            [
              "AxonFlow",
              "SuccessCount",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "SuccessCount"
              },
            ],
            [
              "AxonFlow",
              "ErrorCount",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "ErrorCount"
              },
            ],
            [
              "AxonFlow",
              "BlockedCount",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "BlockedCount"
              },
            ],
          ]
        }
      },
      {
        type   = "metric"
        x      = 12
        y      = 5
        width  = 12
        height = 6
        properties = {
          title   = "Error rate"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "IF(requests >= 1, 100 * errors / requests, 0)"
                label      = "error rate, percent"
                id         = "result"
              },
            ],
            [
              "AxonFlow",
              "ErrorCount",
              "Environment",
              "production",
              {
                id      = "errors"
                stat    = "Sum"
                visible = false
              },
            ],
            [
              "AxonFlow",
              "RequestCount",
              "Environment",
              "production",
              {
                id      = "requests"
                stat    = "Sum"
                visible = false
              },
            ],
          ]
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 11
        width  = 12
        height = 6
        properties = {
          title   = "Latency"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "AxonFlow",
              "Latency",
              "Environment",
              "production",
              {
                stat  = "Average"
                label = "Latency Average"
              },
            ],
            [
              "AxonFlow",
              "Latency",
              "Environment",
              "production",
              {
                stat  = "p95"
                label = "Latency p95"
              },
            ],
            [
              "AxonFlow",
              "Latency",
              "Environment",
              "production",
              {
                stat  = "p99"
                label = "Latency p99"
              },
            ],
          ]
        }
      },
      {
        type   = "metric"
        x      = 12
        y      = 11
        width  = 12
        height = 6
        properties = {
          title   = "Policies"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "AxonFlow",
              "PolicyEvaluations",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "PolicyEvaluations"
              },
            ],
            [
              "AxonFlow",
              "BlockedCount",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "BlockedCount"
              },
            ],
          ]
        }
      },
      {
        type   = "log"
        x      = 0
        y      = 17
        width  = 24
        height = 6
        properties = {
          title  = "Errors"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/axonflow/production/agent' | SOURCE '/axonflow/production/orchestrator' | SOURCE '/axonflow/production/customer-portal' | fields @timestamp, service, message, request_id\n| filter level = \"ERROR\" or level = \"FATAL\"\n| sort @timestamp desc\n| limit 100"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "developer" {
  dashboard_name = "axonflow-production-developer"
  dashboard_body = jsonencode({
    start          = "-PT8H"
    periodOverride = "inherit"
    widgets = [
      {
        type   = "text"
        x      = 0
        y      = 0
        width  = 24
        height = 2
        properties = {
          markdown = "**axonflow-production-developer**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/axonflow)"
        }
      },
      {
        type   = "alarm"
        x      = 0
        y      = 2
        width  = 24
        height = 3
        properties = {
          title = "Alarms"
          alarms = [
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-high-error-rate",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-high-latency",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-policy-blocks-spike",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-token-budget",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-unusual-traffic",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:axonflow-production-no-requests",
          ]
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 5
        width  = 12
        height = 6
        properties = {
          title   = "Latency by service and model"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{AxonFlow,Environment,Model,OrganizationId,Service} MetricName=\"Latency\" Environment=\"production\"', 'p95', 300)"
              },
            ],
          ]
        }
      },
      {
        type   = "log"
        x      = 0
        y      = 11
        width  = 24
        height = 6
        properties = {
          title  = "Slow requests"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/axonflow/production/agent' | SOURCE '/axonflow/production/orchestrator' | SOURCE '/axonflow/production/customer-portal' | fields @timestamp, service, model, latency_ms, request_id\n| filter latency_ms > 5000\n| sort latency_ms desc\n| limit 50"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "business" {
  dashboard_name = "axonflow-production-business"
  dashboard_body = jsonencode({
    start          = "-PT8H"
    periodOverride = "inherit"
    widgets = [
      {
        type   = "text"
        x      = 0
        y      = 0
        width  = 24
        height = 2
        properties = {
          markdown = "**axonflow-production-business**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/axonflow)"
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 2
        width  = 12
        height = 6
        properties = {
          title   = "Tokens"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 3600
          metrics = [
            [
              "AxonFlow",
              "TokensUsed",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "TokensUsed"
              },
            ],
          ]
        }
      },
      {
        type   = "metric"
        x      = 12
        y      = 2
        width  = 12
        height = 6
        properties = {
          title   = "Requests today"
          region  = data.aws_region.current.region
          view    = "singleValue"
          stacked = false
          period  = 86400
          metrics = [
            [
              "AxonFlow",
              "RequestCount",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "RequestCount"
              },
            ],
          ]
        }
      },
      {
        type   = "log"
        x      = 0
        y      = 8
        width  = 24
        height = 6
        properties = {
          title  = "Tokens by organization"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/axonflow/production/agent' | SOURCE '/axonflow/production/orchestrator' | SOURCE '/axonflow/production/customer-portal' | filter ispresent(tokens_used)\n| stats sum(tokens_used) as tokens by organization_id\n| sort tokens desc\n| limit 20"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_query_definition" "recent_errors" {
  name = "axonflow-production/recent-errors"
  log_group_names = [
    "/axonflow/production/agent",
    "/axonflow/production/orchestrator",
    "/axonflow/production/customer-portal",
  ]
  query_string = "fields @timestamp, service, message, request_id\n| filter level = \"ERROR\" or level = \"FATAL\"\n| sort @timestamp desc\n| limit 100"
}

resource "aws_cloudwatch_query_definition" "slow_requests" {
  name = "axonflow-production/slow-requests"
  log_group_names = [
    "/axonflow/production/agent",
    "/axonflow/production/orchestrator",
    "/axonflow/production/customer-portal",
  ]
  query_string = "fields @timestamp, service, model, latency_ms, request_id\n| filter latency_ms > 5000\n| sort latency_ms desc\n| limit 50"
}

resource "aws_cloudwatch_query_definition" "latency_percentiles" {
  name = "axonflow-production/latency-percentiles"
  log_group_names = [
    "/axonflow/production/agent",
    "/axonflow/production/orchestrator",
    "/axonflow/production/customer-portal",
  ]
  query_string = "filter ispresent(latency_ms)\n| stats pct(latency_ms, 50) as p50, pct(latency_ms, 95) as p95, pct(latency_ms, 99) as p99 by bin(5m) as period\n| sort period desc"
}

resource "aws_cloudwatch_query_definition" "blocked_requests" {
  name = "axonflow-production/blocked-requests"
  log_group_names = [
    "/axonflow/production/agent",
    "/axonflow/production/orchestrator",
    "/axonflow/production/customer-portal",
  ]
  query_string = "filter blocked = 1\n| stats count(*) as blocked_requests by policy_id, organization_id\n| sort blocked_requests desc"
}

resource "aws_cloudwatch_query_definition" "tokens_by_organization" {
  name = "axonflow-production/tokens-by-organization"
  log_group_names = [
    "/axonflow/production/agent",
    "/axonflow/production/orchestrator",
    "/axonflow/production/customer-portal",
  ]
  query_string = "filter ispresent(tokens_used)\n| stats sum(tokens_used) as tokens by organization_id\n| sort tokens desc\n| limit 20"
}
