// Send your first events with nothing but the JDK (11 or later): StatsD over UDP, JSON over HTTP.
import java.net.*;
import java.net.http.*;

public class First {
    static final String STATSD_ADDR = System.getenv().getOrDefault("STATSD_ADDR", "localhost:8125");
    static final String INGEST_URL = System.getenv().getOrDefault("INGEST_URL", "http://localhost:8127");
    static final HttpClient http = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        int colon = STATSD_ADDR.lastIndexOf(':');
        int port = Integer.parseInt(STATSD_ADDR.substring(colon + 1));
        // <name>:<value>|<type>|#<tag>:<value>,...  Tags become dimensions; nothing waits for an answer.
        String[] lines = {"OrdersPlaced:1|c|#Service:checkout,Region:eu", "OrderLatency:245.5|ms|#Service:checkout"};
        try (DatagramSocket statsd = new DatagramSocket()) {
            statsd.connect(new InetSocketAddress(STATSD_ADDR.substring(0, colon), port));
            for (String line : lines) {
                statsd.send(new DatagramPacket(line.getBytes(), line.length()));
            }
        }
        post("/ingest/metrics", "{\"name\": \"OrderSize\", \"value\": 18432, \"unit\": \"Bytes\","
                + " \"dimensions\": {\"Service\": \"checkout\"}}");
        post("/ingest/logs", "{\"message\": \"order placed\", \"service\": \"checkout\", \"order_id\": \"A-1001\"}");
    }

    /** Sends one event and prints what was taken: {"accepted":1,"rejected":[]} */
    static void post(String path, String event) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(INGEST_URL + path))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(event))
                .build();
        System.out.println(http.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
