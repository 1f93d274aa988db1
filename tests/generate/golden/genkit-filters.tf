terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "flowcompleted_genkit_app" {
  name           = "genkit-FlowCompleted"
  log_group_name = "/genkit/app"
  pattern        = "{ $.flow = \"*\" && $.status = \"success\" }"

  metric_transformation {
    name      = "FlowCompleted"
    namespace = "MyApp/GenKit"
    value     = "1"
    unit      = "Count"
    dimensions = {
      FlowName = "$.flow"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "flowerror_genkit_app" {
  name           = "genkit-FlowError"
  log_group_name = "/genkit/app"
  pattern        = "{ $.flow = \"*\" && $.status = \"error\" }"

  metric_transformation {
    name      = "FlowError"
    namespace = "MyApp/GenKit"
    value     = "1"
    unit      = "Count"
    dimensions = {
      FlowName = "$.flow"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "flowduration_genkit_app" {
  name           = "genkit-FlowDuration"
  log_group_name = "/genkit/app"
  pattern        = "{ $.flow = \"*\" && ($.status = \"success\" || $.status = \"error\") && $.duration_ms = * }"

  metric_transformation {
    name      = "FlowDuration"
    namespace = "MyApp/GenKit"
    value     = "$.duration_ms"
    unit      = "Milliseconds"
    dimensions = {
      FlowName = "$.flow"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "modellatency_genkit_app" {
  name           = "genkit-ModelLatency"
  log_group_name = "/genkit/app"
  pattern        = "{ $.model = \"*\" && $.latency_ms = * }"

  metric_transformation {
    name      = "ModelLatency"
    namespace = "MyApp/GenKit"
    value     = "$.latency_ms"
    unit      = "Milliseconds"
    dimensions = {
      FlowName = "$.flow"
      ModelID  = "$.model"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "inputtokens_genkit_app" {
  name           = "genkit-InputTokens"
  log_group_name = "/genkit/app"
  pattern        = "{ $.model = \"*\" && $.input_tokens = * }"

  metric_transformation {
    name      = "InputTokens"
    namespace = "MyApp/GenKit"
    value     = "$.input_tokens"
    unit      = "Count"
    dimensions = {
      FlowName = "$.flow"
      ModelID  = "$.model"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "outputtokens_genkit_app" {
  name           = "genkit-OutputTokens"
  log_group_name = "/genkit/app"
  pattern        = "{ $.model = \"*\" && $.output_tokens = * }"

  metric_transformation {
    name      = "OutputTokens"
    namespace = "MyApp/GenKit"
    value     = "$.output_tokens"
    unit      = "Count"
    dimensions = {
      FlowName = "$.flow"
      ModelID  = "$.model"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "tokensused_genkit_app" {
  name           = "genkit-TokensUsed"
  log_group_name = "/genkit/app"
  pattern        = "{ $.model = \"*\" && $.total_tokens = * }"

  metric_transformation {
    name      = "TokensUsed"
    namespace = "MyApp/GenKit"
    value     = "$.total_tokens"
    unit      = "Count"
    dimensions = {
      FlowName = "$.flow"
      ModelID  = "$.model"
    }
  }
}
