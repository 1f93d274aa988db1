// Applications for the tests: `clients sdk` calls PutMetricData and CloudWatch Logs with the SDK for Go v2, see
// python/sdk.py; `clients statsd` sends metrics with datadog-go.
package main

import (
	"fmt"
	"os"
)

func main() {
	programs := map[string]func() error{"sdk": sdk, "statsd": dogstatsd}
	if err := programs[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
