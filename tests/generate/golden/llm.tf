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
  name        = "llm-production-sidecar"
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
            "cloudwatch:namespace" = ["AI/LLMMetrics"]
          }
        }
      },
      {
        Sid    = "SendLogs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/llm/*",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/llm/*:*",
        ]
      },
      {
        Sid    = "CreateGroups"
        Effect = "Allow"
        Action = ["logs:CreateLogGroup", "logs:PutRetentionPolicy"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/llm/*",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/llm/*:*",
        ]
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "llm_chat" {
  name              = "/llm/chat"
  retention_in_days = 14
  skip_destroy      = true
}

resource "aws_cloudwatch_log_group" "llm_agent" {
  name              = "/llm/agent"
  retention_in_days = 14
  skip_destroy      = true
}

resource "aws_sns_topic" "critical" {
  name = "llm-production-critical"
}

resource "aws_sns_topic" "warning" {
  name = "llm-production-warning"
}

resource "aws_cloudwatch_metric_alarm" "daily_token_budget" {
  alarm_name          = "llm-production-daily-token-budget"
  alarm_description   = "The price in dollars (InputTokens at 3, OutputTokens at 15 a million) was above 50 in a period of 86400 seconds. Runbook: https://example.com/runbooks/llm#daily-token-budget"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  threshold           = 50
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "m1"
    return_data = false

    metric {
      namespace   = "AI/LLMMetrics"
      metric_name = "InputTokens"
      period      = 86400
      stat        = "Sum"
      dimensions = {
        Environment = "production"
      }
    }
  }

  metric_query {
    id          = "m2"
    return_data = false

    metric {
      namespace   = "AI/LLMMetrics"
      metric_name = "OutputTokens"
      period      = 86400
      stat        = "Sum"
      dimensions = {
        Environment = "production"
      }
    }
  }

  metric_query {
    id          = "result"
    expression  = "(FILL(m1, 0) * 3 + FILL(m2, 0) * 15) / 1000000"
    label       = "dollars"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "daily_cost" {
  alarm_name        = "llm-production-daily-cost"
  alarm_description = "Sum of CostDollars was above 50 in a period of 86400 seconds. Runbook: https://example.com/runbooks/llm#daily-cost"
  alarm_actions     = [aws_sns_topic.critical.arn]
  ok_actions        = [aws_sns_topic.critical.arn]
  namespace         = "AI/LLMMetrics"
  metric_name       = "CostDollars"
  dimensions = {
    Environment = "production"
  }
  statistic           = "Sum"
  period              = 86400
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  threshold           = 50
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "high_latency" {
  alarm_name        = "llm-production-high-latency"
  alarm_description = "p95 of InferenceLatencyMs was above 5000 in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/llm#high-latency"
  alarm_actions     = [aws_sns_topic.warning.arn]
  ok_actions        = [aws_sns_topic.warning.arn]
  namespace         = "AI/LLMMetrics"
  metric_name       = "InferenceLatencyMs"
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

resource "aws_cloudwatch_composite_alarm" "service" {
  alarm_name        = "llm-production-service"
  alarm_description = "At least one alarm of llm-production is in the state ALARM. Runbook: https://example.com/runbooks/llm#service"
  alarm_rule        = "ALARM(\"llm-production-daily-token-budget\") OR ALARM(\"llm-production-daily-cost\") OR ALARM(\"llm-production-high-latency\")"
  depends_on = [
    aws_cloudwatch_metric_alarm.daily_token_budget,
    aws_cloudwatch_metric_alarm.daily_cost,
    aws_cloudwatch_metric_alarm.high_latency,
  ]
}

resource "aws_cloudwatch_dashboard" "ops" {
  dashboard_name = "llm-production-ops"
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
          markdown = "**llm-production-ops**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/llm)"
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
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:llm-production-daily-token-budget",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:llm-production-daily-cost",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:llm-production-high-latency",
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
          title   = "Latency"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "AI/LLMMetrics",
              "InferenceLatencyMs",
              "Environment",
              "production",
              {
                stat  = "p50"
                label = "InferenceLatencyMs p50"
              },
            ],
            [
              "AI/LLMMetrics",
              "InferenceLatencyMs",
              "Environment",
              "production",
              {
                stat  = "p95"
                label = "InferenceLatencyMs p95"
              },
            ],
            [
              "AI/LLMMetrics",
              "InferenceLatencyMs",
              "Environment",
              "production",
              {
                stat  = "p99"
                label = "InferenceLatencyMs p99"
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
          title   = "Calls"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "AI/LLMMetrics",
              "InferenceLatencyMs",
              "Environment",
              "production",
              {
                stat  = "SampleCount"
                label = "InferenceLatencyMs"
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
          title  = "Slow calls"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/llm/chat' | SOURCE '/llm/agent' | fields @timestamp, model_id, latency_ms, input_tokens, output_tokens\n| filter latency_ms > 5000\n| sort latency_ms desc\n| limit 20"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "developer" {
  dashboard_name = "llm-production-developer"
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
          markdown = "**llm-production-developer**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/llm)"
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
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:llm-production-daily-token-budget",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:llm-production-daily-cost",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:llm-production-high-latency",
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
          title   = "Latency by model"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{AI/LLMMetrics,Environment,ModelId} MetricName=\"InferenceLatencyMs\" Environment=\"production\"', 'p95', 300)"
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
          title  = "Guardrails"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/llm/chat' | SOURCE '/llm/agent' | fields @timestamp, model_id, message\n| filter guardrail_triggered = 1\n| sort @timestamp desc\n| limit 50"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "business" {
  dashboard_name = "llm-production-business"
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
          markdown = "**llm-production-business**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/llm)"
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 2
        width  = 12
        height = 6
        properties = {
          title   = "Dollars an hour at one price"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 3600
          metrics = [
            [
              {
                expression = "(FILL(m1, 0) * 3 + FILL(m2, 0) * 15) / 1000000"
                label      = "dollars"
                id         = "result"
              },
            ],
            [
              "AI/LLMMetrics",
              "InputTokens",
              "Environment",
              "production",
              {
                id      = "m1"
                stat    = "Sum"
                visible = false
              },
            ],
            [
              "AI/LLMMetrics",
              "OutputTokens",
              "Environment",
              "production",
              {
                id      = "m2"
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
        y      = 2
        width  = 12
        height = 6
        properties = {
          title   = "Dollars an hour by model"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 3600
          metrics = [
            [
              {
                expression = "SEARCH('{AI/LLMMetrics,Environment,ModelId} MetricName=\"CostDollars\" Environment=\"production\"', 'Sum', 3600)"
              },
            ],
          ]
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 8
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
              "AI/LLMMetrics",
              "InputTokens",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "InputTokens"
              },
            ],
            [
              "AI/LLMMetrics",
              "OutputTokens",
              "Environment",
              "production",
              {
                stat  = "Sum"
                label = "OutputTokens"
              },
            ],
          ]
        }
      },
      {
        type   = "log"
        x      = 0
        y      = 14
        width  = 24
        height = 6
        properties = {
          title  = "Tokens by model"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/llm/chat' | SOURCE '/llm/agent' | stats sum(input_tokens) as input, sum(output_tokens) as output by model_id\n| sort output desc"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_query_definition" "slow_calls" {
  name            = "llm-production/slow-calls"
  log_group_names = ["/llm/chat", "/llm/agent"]
  query_string    = "fields @timestamp, model_id, latency_ms, input_tokens, output_tokens\n| filter latency_ms > 5000\n| sort latency_ms desc\n| limit 20"
}

resource "aws_cloudwatch_query_definition" "tokens_by_model" {
  name            = "llm-production/tokens-by-model"
  log_group_names = ["/llm/chat", "/llm/agent"]
  query_string    = "stats sum(input_tokens) as input, sum(output_tokens) as output by model_id\n| sort output desc"
}

resource "aws_cloudwatch_query_definition" "guardrails_triggered" {
  name            = "llm-production/guardrails-triggered"
  log_group_names = ["/llm/chat", "/llm/agent"]
  query_string    = "fields @timestamp, model_id, message\n| filter guardrail_triggered = 1\n| sort @timestamp desc\n| limit 50"
}
