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
  name        = "web-production-sidecar"
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
            "cloudwatch:namespace" = ["Web"]
          }
        }
      },
      {
        Sid    = "SendLogs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/web/production/web",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/web/production/web:*",
        ]
      },
      {
        Sid    = "CreateGroups"
        Effect = "Allow"
        Action = ["logs:CreateLogGroup", "logs:PutRetentionPolicy"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/web/production/web",
          "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:/web/production/web:*",
        ]
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "web_production_web" {
  name              = "/web/production/web"
  retention_in_days = 30
  skip_destroy      = true
}

resource "aws_sns_topic" "critical" {
  name = "web-production-critical"
}

resource "aws_sns_topic" "warning" {
  name = "web-production-warning"
}

resource "aws_sns_topic" "info" {
  name = "web-production-info"
}

resource "aws_cloudwatch_metric_alarm" "alarm_5xx_errors" {
  alarm_name        = "web-production-5xx-errors"
  alarm_description = "Sum of 5xxErrors was above 10 in a period of 300 seconds. Runbook: https://example.com/runbooks/web#5xx-errors"
  alarm_actions     = [aws_sns_topic.critical.arn]
  ok_actions        = [aws_sns_topic.critical.arn]
  namespace         = "Web"
  metric_name       = "5xxErrors"
  dimensions = {
    Environment = "production"
    Service     = "web"
  }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  threshold           = 10
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "high_error_rate" {
  alarm_name          = "web-production-high-error-rate"
  alarm_description   = "5xxErrors in percent of RequestCount, given 20 of these or more, was above 5 in 2 of 3 periods of 300 seconds. Runbook: https://example.com/runbooks/web#high-error-rate"
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
      namespace   = "Web"
      metric_name = "5xxErrors"
      period      = 300
      stat        = "Sum"
      dimensions = {
        Environment = "production"
        Service     = "web"
      }
    }
  }

  metric_query {
    id          = "requests"
    return_data = false

    metric {
      namespace   = "Web"
      metric_name = "RequestCount"
      period      = 300
      stat        = "Sum"
      dimensions = {
        Environment = "production"
        Service     = "web"
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
  alarm_name        = "web-production-high-latency"
  alarm_description = "p95 of Latency was above 5000 in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/web#high-latency"
  alarm_actions     = [aws_sns_topic.warning.arn]
  ok_actions        = [aws_sns_topic.warning.arn]
  namespace         = "Web"
  metric_name       = "Latency"
  dimensions = {
    Environment = "production"
    Service     = "web"
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

resource "aws_cloudwatch_metric_alarm" "latency_objective" {
  alarm_name        = "web-production-latency-objective"
  alarm_description = "p95 of Latency was above 500 in 9 of 12 periods of 300 seconds. Runbook: https://example.com/runbooks/web#latency-objective"
  alarm_actions     = [aws_sns_topic.info.arn]
  ok_actions        = [aws_sns_topic.info.arn]
  namespace         = "Web"
  metric_name       = "Latency"
  dimensions = {
    Environment = "production"
    Service     = "web"
  }
  extended_statistic                    = "p95"
  period                                = 300
  evaluation_periods                    = 12
  datapoints_to_alarm                   = 9
  threshold                             = 500
  comparison_operator                   = "GreaterThanThreshold"
  treat_missing_data                    = "notBreaching"
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "no_requests" {
  alarm_name        = "web-production-no-requests"
  alarm_description = "RequestCount had no samples in 3 periods of 300 seconds in a row. Runbook: https://example.com/runbooks/web#no-requests"
  alarm_actions     = [aws_sns_topic.warning.arn]
  ok_actions        = [aws_sns_topic.warning.arn]
  namespace         = "Web"
  metric_name       = "RequestCount"
  dimensions = {
    Environment = "production"
    Service     = "web"
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
  alarm_name        = "web-production-service"
  alarm_description = "At least one alarm of web-production is in the state ALARM. Runbook: https://example.com/runbooks/web#service"
  alarm_rule        = "ALARM(\"web-production-5xx-errors\") OR ALARM(\"web-production-high-error-rate\") OR ALARM(\"web-production-high-latency\") OR ALARM(\"web-production-latency-objective\") OR ALARM(\"web-production-no-requests\")"
  depends_on = [
    aws_cloudwatch_metric_alarm.alarm_5xx_errors,
    aws_cloudwatch_metric_alarm.high_error_rate,
    aws_cloudwatch_metric_alarm.high_latency,
    aws_cloudwatch_metric_alarm.latency_objective,
    aws_cloudwatch_metric_alarm.no_requests,
  ]
}

resource "aws_cloudwatch_dashboard" "ops" {
  dashboard_name = "web-production-ops"
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
          markdown = "**web-production-ops**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/web)"
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
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-5xx-errors",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-high-error-rate",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-high-latency",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-latency-objective",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-no-requests",
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
              "Web",
              "RequestCount",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "Sum"
                label = "RequestCount"
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
          title   = "Errors"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              "Web",
              "4xxErrors",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "Sum"
                label = "4xxErrors"
              },
            ],
            [
              "Web",
              "5xxErrors",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "Sum"
                label = "5xxErrors"
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
                expression = "IF(requests >= 1, 100 * errors / requests, 0)"
                label      = "error rate, percent"
                id         = "result"
              },
            ],
            [
              "Web",
              "5xxErrors",
              "Environment",
              "production",
              "Service",
              "web",
              {
                id      = "errors"
                stat    = "Sum"
                visible = false
              },
            ],
            [
              "Web",
              "RequestCount",
              "Environment",
              "production",
              "Service",
              "web",
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
        x      = 12
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
              "Web",
              "Latency",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "p50"
                label = "Latency p50"
              },
            ],
            [
              "Web",
              "Latency",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "p95"
                label = "Latency p95"
              },
            ],
            [
              "Web",
              "Latency",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "p99"
                label = "Latency p99"
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
          title  = "Failed requests"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/web/production/web' | fields @timestamp, method, path, status, latency_ms\n| filter status >= 500\n| sort @timestamp desc\n| limit 50"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "developer" {
  dashboard_name = "web-production-developer"
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
          markdown = "**web-production-developer**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/web)"
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
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-5xx-errors",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-high-error-rate",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-high-latency",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-latency-objective",
            "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:alarm:web-production-no-requests",
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
          title   = "Latency by endpoint"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{Web,Endpoint,Environment,Service} MetricName=\"Latency\" Environment=\"production\" Service=\"web\"', 'p95', 300)"
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
          title   = "Errors by endpoint"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 300
          metrics = [
            [
              {
                expression = "SEARCH('{Web,Endpoint,Environment,Service} MetricName=\"5xxErrors\" Environment=\"production\" Service=\"web\"', 'Sum', 300)"
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
          title  = "Slow endpoints"
          region = data.aws_region.current.region
          view   = "table"
          query  = "SOURCE '/web/production/web' | filter ispresent(latency_ms)\n| stats pct(latency_ms, 95) as p95, count(*) as requests by method, path\n| sort p95 desc\n| limit 25"
        }
      },
    ]
  })
}

resource "aws_cloudwatch_dashboard" "business" {
  dashboard_name = "web-production-business"
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
          markdown = "**web-production-business**: generated by `sidecar generate` from the section `watch`. Edit that: changes here are overwritten. [Runbook](https://example.com/runbooks/web)"
        }
      },
      {
        type   = "metric"
        x      = 0
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
              "Web",
              "RequestCount",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "Sum"
                label = "RequestCount"
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
          title   = "Requests an hour"
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stacked = false
          period  = 3600
          metrics = [
            [
              "Web",
              "RequestCount",
              "Environment",
              "production",
              "Service",
              "web",
              {
                stat  = "Sum"
                label = "RequestCount"
              },
            ],
          ]
        }
      },
    ]
  })
}

resource "aws_cloudwatch_query_definition" "failed_requests" {
  name            = "web-production/failed-requests"
  log_group_names = ["/web/production/web"]
  query_string    = "fields @timestamp, method, path, status, latency_ms\n| filter status >= 500\n| sort @timestamp desc\n| limit 50"
}

resource "aws_cloudwatch_query_definition" "slow_endpoints" {
  name            = "web-production/slow-endpoints"
  log_group_names = ["/web/production/web"]
  query_string    = "filter ispresent(latency_ms)\n| stats pct(latency_ms, 95) as p95, count(*) as requests by method, path\n| sort p95 desc\n| limit 25"
}
