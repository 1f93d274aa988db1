//! An application that calls PutMetricData and CloudWatch Logs with the SDK for Rust; see python/sdk.py.

use std::env::var;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;

type Failure = Box<dyn std::error::Error>;

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // Endpoints are plain HTTP: no TLS needs to be compiled.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let settings = aws_config::from_env().http_client(http).load().await;
    let client = aws_sdk_cloudwatch::Client::new(&settings);
    let logs = aws_sdk_cloudwatchlogs::Client::new(&settings);
    let (namespace, group) = (var("NAMESPACE")?, var("GROUP")?);
    let mut milliseconds = Vec::new();
    let mut errors = Vec::new();

    for n in 0..var("ROUNDS")?.parse::<u32>()? {
        let began = Instant::now();
        client
            .put_metric_data()
            .namespace(&namespace)
            .metric_data(
                MetricDatum::builder()
                    .metric_name("Latency")
                    .dimensions(dimension("Service", "shop & co"))
                    .value(245.5 + f64::from(n))
                    .unit(StandardUnit::Milliseconds)
                    .timestamp(DateTime::from(SystemTime::now()))
                    .storage_resolution(1)
                    .build(),
            )
            .metric_data(
                MetricDatum::builder()
                    .metric_name("Stats")
                    .statistic_values(
                        StatisticSet::builder().sample_count(3.0).sum(6.0).minimum(1.0).maximum(3.0).build(),
                    )
                    .build(),
            )
            .metric_data(
                MetricDatum::builder()
                    .metric_name("Dist")
                    .set_values(Some(vec![1.0, 2.5]))
                    .set_counts(Some(vec![3.0, 4.0]))
                    .build(),
            )
            .send()
            .await?;
        milliseconds.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    let many = (0..200u32).map(|n| {
        MetricDatum::builder()
            .metric_name("Many")
            .dimensions(dimension("Number", &format!("number-{n}")))
            .value(f64::from(n))
            .unit(StandardUnit::Count)
            .build()
    });
    let began = Instant::now();
    client.put_metric_data().namespace(&namespace).set_metric_data(Some(many.collect())).send().await?;
    milliseconds.push(began.elapsed().as_secs_f64() * 1_000.0);
    let bad = MetricDatum::builder().metric_name("Bad").value(1.0).unit(StandardUnit::from("Parsecs")).build();
    if let Err(error) = client.put_metric_data().namespace(&namespace).metric_data(bad).send().await {
        if error.into_service_error().is_invalid_parameter_value_exception() {
            errors.push("\"InvalidParameterValueException\"");
        }
    }

    logs.create_log_group().log_group_name(&group).send().await?;
    logs.put_retention_policy().log_group_name(&group).retention_in_days(30).send().await?;
    logs.create_log_stream().log_group_name(&group).log_stream_name("app").send().await?;
    if let Err(error) = logs.create_log_group().log_group_name(&group).send().await {
        if error.into_service_error().is_resource_already_exists_exception() {
            errors.push("\"ResourceAlreadyExistsException\"");
        }
    }
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let events = (0..10).map(|n| InputLogEvent::builder().timestamp(now + n).message(format!("line {n} ü")).build());
    let events = events.collect::<Result<Vec<_>, _>>()?;
    logs.put_log_events().log_group_name(&group).log_stream_name("app").set_log_events(Some(events)).send().await?;

    milliseconds.sort_by(f64::total_cmp);
    println!(
        "{{\"calls\": {}, \"milliseconds\": {:.3}, \"errors\": [{}]}}",
        milliseconds.len(),
        milliseconds[milliseconds.len() / 2],
        errors.join(", ")
    );
    Ok(())
}
