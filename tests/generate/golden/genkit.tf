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
  name        = "genkit-sidecar"
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
            "cloudwatch:namespace" = ["MyApp/GenKit"]
          }
        }
      },
      {
        Sid    = "SendLogs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/genkit/*",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/genkit/*:*",
        ]
      },
      {
        Sid    = "CreateGroups"
        Effect = "Allow"
        Action = ["logs:CreateLogGroup", "logs:PutRetentionPolicy"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/genkit/*",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/genkit/*:*",
        ]
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "genkit_app" {
  name              = "/genkit/app"
  retention_in_days = 30
  skip_destroy      = true
}

resource "aws_sns_topic" "critical" {
  name = "genkit-critical"
}

resource "aws_sns_topic" "warning" {
  name = "genkit-warning"
}

resource "aws_cloudwatch_metric_alarm" "high_error_rate" {
  alarm_name          = "genkit-high-error-rate"
  alarm_description   = "FlowError in percent of FlowError and FlowCompleted, given 20 of these or more, was above 5 in 2 of 3 periods of 300 seconds. Runbook: https://example.com/runbooks/genkit#high-error-rate"
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
      namespace   = "MyApp/GenKit"
      metric_name = "FlowError"
      period      = 300
      stat        = "Sum"
    }
  }

  metric_query {
    id          = "successes"
    return_data = false

    metric {
      namespace   = "MyApp/GenKit"
      metric_name = "FlowCompleted"
      period      = 300
      stat        = "Sum"
    }
  }

  metric_query {
    id          = "result"
    expression  = "IF((errors + FILL(successes, 0)) >= 20, 100 * errors / (errors + FILL(successes, 0)), 0)"
    label       = "error rate, percent"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "flow_errors" {
  alarm_name          = "genkit-flow-errors"
  alarm_description   = "Sum of FlowError was above 5 in 2 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/genkit#flow-errors"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  namespace           = "MyApp/GenKit"
  metric_name         = "FlowError"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  datapoints_to_alarm = 2
  threshold           = 5
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "high_token_usage" {
  alarm_name          = "genkit-high-token-usage"
  alarm_description   = "Sum of TokensUsed was above 1000000 in a period of 3600 seconds. Runbook: https://example.com/runbooks/genkit#high-token-usage"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  namespace           = "MyApp/GenKit"
  metric_name         = "TokensUsed"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  threshold           = 1000000
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "slow_flows" {
  alarm_name                            = "genkit-slow-flows"
  alarm_description                     = "p95 of FlowDuration was above 5000 in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/genkit#slow-flows"
  alarm_actions                         = [aws_sns_topic.warning.arn]
  ok_actions                            = [aws_sns_topic.warning.arn]
  namespace                             = "MyApp/GenKit"
  metric_name                           = "FlowDuration"
  extended_statistic                    = "p95"
  period                                = 300
  evaluation_periods                    = 3
  datapoints_to_alarm                   = 3
  threshold                             = 5000
  comparison_operator                   = "GreaterThanThreshold"
  treat_missing_data                    = "notBreaching"
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_composite_alarm" "service" {
  alarm_name        = "genkit-service"
  alarm_description = "At least one alarm of genkit is in the state ALARM. Runbook: https://example.com/runbooks/genkit#service"
  alarm_rule        = "ALARM(\"genkit-high-error-rate\") OR ALARM(\"genkit-flow-errors\") OR ALARM(\"genkit-high-token-usage\") OR ALARM(\"genkit-slow-flows\")"
  depends_on = [
    aws_cloudwatch_metric_alarm.high_error_rate,
    aws_cloudwatch_metric_alarm.flow_errors,
    aws_cloudwatch_metric_alarm.high_token_usage,
    aws_cloudwatch_metric_alarm.slow_flows,
  ]
}

resource "aws_cloudwatch_dashboard" "ops" {
  dashboard_name = "genkit-ops"
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
          markdown = "**genkit-ops**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/genkit)"
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
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-high-error-rate",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-flow-errors",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-high-token-usage",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-slow-flows",
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
          title   = "Flows completed"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{MyApp/GenKit,FlowName} MetricName=\"FlowCompleted\"', 'Sum', 300)"
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
          title   = "Flow errors"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{MyApp/GenKit,FlowName} MetricName=\"FlowError\"', 'Sum', 300)"
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
          title   = "Error rate"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "IF((errors + FILL(successes, 0)) >= 1, 100 * errors / (errors + FILL(successes, 0)), 0)"
                label      = "error rate, percent"
                id         = "result"
              },
            ],
            [
              "MyApp/GenKit",
              "FlowError",
              {
                id      = "errors"
                stat    = "Sum"
                visible = false
              },
            ],
            [
              "MyApp/GenKit",
              "FlowCompleted",
              {
                id      = "successes"
                stat    = "Sum"
                visible = false
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
          title   = "Duration"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "MyApp/GenKit",
              "FlowDuration",
              {
                stat  = "p50"
                label = "FlowDuration p50"
              },
            ],
            [
              "MyApp/GenKit",
              "FlowDuration",
              {
                stat  = "p95"
                label = "FlowDuration p95"
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
          title  = "Failed flows"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/genkit/app' | fields @timestamp, flow, error, duration_ms\n| filter status = \"error\"\n| sort @timestamp desc\n| limit 50"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "developer" {
  dashboard_name = "genkit-developer"
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
          markdown = "**genkit-developer**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/genkit)"
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
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-high-error-rate",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-flow-errors",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-high-token-usage",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:genkit-slow-flows",
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
          title   = "Duration by flow"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{MyApp/GenKit,FlowName} MetricName=\"FlowDuration\"', 'p95', 300)"
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
          title   = "Errors by type"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{MyApp/GenKit,ErrorType,FlowName,Status} MetricName=\"FlowError\"', 'Sum', 300)"
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
          title   = "Latency by model"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{MyApp/GenKit,ModelID} MetricName=\"ModelLatency\"', 'p95', 300)"
              },
            ],
          ]
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "business" {
  dashboard_name = "genkit-business"
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
          markdown = "**genkit-business**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/genkit)"
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 2
        width  = 12
        height = 6
        properties = {
          title   = "Tokens by model"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 3600
          metrics = [
            [
              {
                expression = "SEARCH('{MyApp/GenKit,ModelID} MetricName=\"TokensUsed\"', 'Sum', 3600)"
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
          title   = "Tokens"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 3600
          metrics = [
            [
              "MyApp/GenKit",
              "InputTokens",
              {
                stat  = "Sum"
                label = "InputTokens"
              },
            ],
            [
              "MyApp/GenKit",
              "OutputTokens",
              {
                stat  = "Sum"
                label = "OutputTokens"
              },
            ],
          ]
        }
      },
    ]
  })
}

resource "aws_cloudwatch_query_definition" "failed_flows" {
  name            = "genkit/failed-flows"
  log_group_names = ["/genkit/app"]
  query_string    = "fields @timestamp, flow, error, duration_ms\n| filter status = \"error\"\n| sort @timestamp desc\n| limit 50"
}

resource "aws_cloudwatch_query_definition" "slowest_flows" {
  name            = "genkit/slowest-flows"
  log_group_names = ["/genkit/app"]
  query_string    = "filter ispresent(duration_ms)\n| stats pct(duration_ms, 95) as p95, count(*) as runs by flow\n| sort p95 desc"
}
