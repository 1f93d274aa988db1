import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import software.amazon.awssdk.services.cloudwatch.CloudWatchClient;
import software.amazon.awssdk.services.cloudwatch.model.Dimension;
import software.amazon.awssdk.services.cloudwatch.model.InvalidParameterValueException;
import software.amazon.awssdk.services.cloudwatch.model.MetricDatum;
import software.amazon.awssdk.services.cloudwatch.model.StandardUnit;
import software.amazon.awssdk.services.cloudwatchlogs.CloudWatchLogsClient;
import software.amazon.awssdk.services.cloudwatchlogs.model.InputLogEvent;
import software.amazon.awssdk.services.cloudwatchlogs.model.ResourceAlreadyExistsException;

/** An application that calls PutMetricData and CloudWatch Logs with the SDK for Java v2; see python/sdk.py. */
public class Sdk {
    static final CloudWatchClient CLOUDWATCH = CloudWatchClient.create();
    static final CloudWatchLogsClient LOGS = CloudWatchLogsClient.create();
    static final String NAMESPACE = System.getenv("NAMESPACE"), GROUP = System.getenv("GROUP");
    static final List<Double> MILLISECONDS = new ArrayList<>();

    static void put(List<MetricDatum> datums) {
        long began = System.nanoTime();
        CLOUDWATCH.putMetricData(request -> request.namespace(NAMESPACE).metricData(datums));
        MILLISECONDS.add((System.nanoTime() - began) / 1e6);
    }

    static Dimension dimension(String name, String value) {
        return Dimension.builder().name(name).value(value).build();
    }

    public static void main(String[] arguments) {
        List<String> errors = new ArrayList<>();
        for (int n = 0; n < Integer.parseInt(System.getenv("ROUNDS")); n++) {
            put(List.of(
                MetricDatum.builder().metricName("Latency").dimensions(dimension("Service", "shop & co")).value(245.5 + n)
                    .unit(StandardUnit.MILLISECONDS).timestamp(Instant.now()).storageResolution(1).build(),
                MetricDatum.builder().metricName("Stats")
                    .statisticValues(set -> set.sampleCount(3.0).sum(6.0).minimum(1.0).maximum(3.0)).build(),
                MetricDatum.builder().metricName("Dist").values(1.0, 2.5).counts(3.0, 4.0).build()));
        }
        put(IntStream.range(0, 200).mapToObj(n -> MetricDatum.builder().metricName("Many").value((double) n)
            .dimensions(dimension("Number", "number-" + n)).unit(StandardUnit.COUNT).build()).toList());
        int calls = MILLISECONDS.size();
        try {
            put(List.of(MetricDatum.builder().metricName("Bad").value(1.0).unit("Parsecs").build()));
        } catch (InvalidParameterValueException error) {
            errors.add(error.getClass().getSimpleName());
        }

        LOGS.createLogGroup(request -> request.logGroupName(GROUP));
        LOGS.putRetentionPolicy(request -> request.logGroupName(GROUP).retentionInDays(30));
        LOGS.createLogStream(request -> request.logGroupName(GROUP).logStreamName("app"));
        try {
            LOGS.createLogGroup(request -> request.logGroupName(GROUP));
        } catch (ResourceAlreadyExistsException error) {
            errors.add(error.getClass().getSimpleName());
        }
        long now = System.currentTimeMillis();
        List<InputLogEvent> events = IntStream.range(0, 10)
            .mapToObj(n -> InputLogEvent.builder().timestamp(now + n).message("line " + n + " \u00fc").build()).toList();
        LOGS.putLogEvents(request -> request.logGroupName(GROUP).logStreamName("app").logEvents(events));
        Collections.sort(MILLISECONDS);
        System.out.printf("{\"calls\": %d, \"milliseconds\": %.3f, \"errors\": [\"%s\"]}%n", calls,
            MILLISECONDS.get(calls / 2), String.join("\", \"", errors));
    }
}
