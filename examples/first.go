// Send your first events with nothing but the standard library: StatsD over UDP, JSON over HTTP.
package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	statsd, err := net.Dial("udp", cmp.Or(os.Getenv("STATSD_ADDR"), "localhost:8125"))
	if err != nil {
		log.Fatal(err)
	}
	defer statsd.Close()
	// <name>:<value>|<type>|#<tag>:<value>,...  Tags become dimensions; nothing waits for an answer.
	fmt.Fprint(statsd, "OrdersPlaced:1|c|#Service:checkout,Region:eu")
	fmt.Fprint(statsd, "OrderLatency:245.5|ms|#Service:checkout")

	post("/ingest/metrics", `{"name": "OrderSize", "value": 18432, "unit": "Bytes", "dimensions": {"Service": "checkout"}}`)
	post("/ingest/logs", `{"message": "order placed", "service": "checkout", "order_id": "A-1001"}`)
}

// post sends one event and prints what was taken: {"accepted":1,"rejected":[]}
func post(path, event string) {
	url := cmp.Or(os.Getenv("INGEST_URL"), "http://localhost:8127") + path
	answer, err := http.Post(url, "application/json", strings.NewReader(event))
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(string(body))
}
