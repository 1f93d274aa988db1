import software.amazon.cloudwatchlogs.emf.config.EnvironmentConfigurationProvider;
import software.amazon.cloudwatchlogs.emf.environment.DefaultEnvironment;
import software.amazon.cloudwatchlogs.emf.environment.Environment;
import software.amazon.cloudwatchlogs.emf.logger.MetricsLogger;
import software.amazon.cloudwatchlogs.emf.model.DimensionSet;
import software.amazon.cloudwatchlogs.emf.model.StorageResolution;
import software.amazon.cloudwatchlogs.emf.model.Unit;

/** An application that sends metrics with aws-embedded-metrics; a line on standard input makes it go on. */
public class Emf {
    static final Environment ENVIRONMENT = new DefaultEnvironment(EnvironmentConfigurationProvider.getConfig());

    static MetricsLogger logger(String operation) throws Exception {
        MetricsLogger metrics = new MetricsLogger(ENVIRONMENT);
        metrics.setNamespace(System.getenv("NAMESPACE"));
        metrics.setDimensions(DimensionSet.of("Operation", operation));
        return metrics;
    }

    public static void main(String[] arguments) throws Exception {
        for (int number = 1; number <= Integer.parseInt(System.getenv("DOCUMENTS")); number++) {
            MetricsLogger metrics = logger("store");
            metrics.putMetric("Latency", number, Unit.MILLISECONDS);
            metrics.putMetric("Latency", 7.5, Unit.MILLISECONDS);
            metrics.putMetric("Orders", 1, Unit.COUNT, StorageResolution.HIGH);
            metrics.putProperty("number", number);
            metrics.flush();
            if (number % 10 == 0) {
                System.out.println("sent");
                System.in.read();
            }
        }
        MetricsLogger metrics = logger("many");
        for (int n = 0; n < 250; n++) {
            metrics.putMetric("many" + n, n, Unit.COUNT);
        }
        for (int n = 0; n < 230; n++) {
            metrics.putMetric("Values", n, Unit.BYTES);
        }
        metrics.flush();
        ENVIRONMENT.getSink().shutdown().get();
    }
}
