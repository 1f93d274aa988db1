package main

import (
	"os"
	"time"

	"github.com/DataDog/datadog-go/v5/statsd"
)

// Aggregation in the client, telemetry and origin detection are on, as they are by default.
func dogstatsd() error {
	client, err := statsd.New(os.Getenv("STATSD"), statsd.WithNamespace("go."), statsd.WithTags([]string{"env:test"}))
	if err != nil {
		return err
	}
	for n := 0; n < 1000; n++ {
		if err := client.Incr("orders", []string{"region:eu"}, 1); err != nil {
			return err
		}
		if err := client.Histogram("size", float64(n%10), nil, 1); err != nil {
			return err
		}
		if err := client.Distribution("wait", float64(n%10), nil, 1); err != nil {
			return err
		}
		if err := client.Gauge("level", float64(-n), nil, 1); err != nil {
			return err
		}
		if n%100 == 99 { // a receive buffer of a container's size holds what is sent at once
			if err := client.Flush(); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if err := client.Timing("query", 12500*time.Microsecond, nil, 1); err != nil {
		return err
	}
	if err := client.SimpleEvent("deployed", "version 2"); err != nil {
		return err
	}
	return client.Close()
}
