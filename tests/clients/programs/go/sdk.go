package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	metrics "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

func sdk() error {
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client, logs := cloudwatch.NewFromConfig(settings), cloudwatchlogs.NewFromConfig(settings)
	namespace, group := aws.String(os.Getenv("NAMESPACE")), aws.String(os.Getenv("GROUP"))
	rounds, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil {
		return err
	}
	var milliseconds []float64
	names := []string{}
	put := func(datums []metrics.MetricDatum) error {
		began := time.Now()
		_, err := client.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: namespace, MetricData: datums})
		milliseconds = append(milliseconds, float64(time.Since(began).Microseconds())/1000)
		return err
	}

	for n := 0; n < rounds; n++ {
		err := put([]metrics.MetricDatum{
			{
				MetricName:        aws.String("Latency"),
				Dimensions:        []metrics.Dimension{{Name: aws.String("Service"), Value: aws.String("shop & co")}},
				Value:             aws.Float64(245.5 + float64(n)),
				Unit:              metrics.StandardUnitMilliseconds,
				Timestamp:         aws.Time(time.Now()),
				StorageResolution: aws.Int32(1),
			},
			{MetricName: aws.String("Stats"), StatisticValues: &metrics.StatisticSet{
				SampleCount: aws.Float64(3), Sum: aws.Float64(6), Minimum: aws.Float64(1), Maximum: aws.Float64(3),
			}},
			{MetricName: aws.String("Dist"), Values: []float64{1, 2.5}, Counts: []float64{3, 4}},
		})
		if err != nil {
			return err
		}
	}
	var many []metrics.MetricDatum
	for n := 0; n < 200; n++ {
		many = append(many, metrics.MetricDatum{
			MetricName: aws.String("Many"), Value: aws.Float64(float64(n)), Unit: metrics.StandardUnitCount,
			Dimensions: []metrics.Dimension{{Name: aws.String("Number"), Value: aws.String(fmt.Sprintf("number-%d", n))}},
		})
	}
	if err := put(many); err != nil {
		return err
	}
	calls := len(milliseconds)
	var invalid *metrics.InvalidParameterValueException
	if err := put([]metrics.MetricDatum{
		{MetricName: aws.String("Bad"), Value: aws.Float64(1), Unit: metrics.StandardUnit("Parsecs")},
	}); errors.As(err, &invalid) {
		names = append(names, "InvalidParameterValueException")
	}

	if _, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}); err != nil {
		return err
	}
	retention := &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: group, RetentionInDays: aws.Int32(30)}
	if _, err := logs.PutRetentionPolicy(ctx, retention); err != nil {
		return err
	}
	stream := &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: aws.String("app")}
	if _, err := logs.CreateLogStream(ctx, stream); err != nil {
		return err
	}
	var exists *logtypes.ResourceAlreadyExistsException
	_, err = logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group})
	if errors.As(err, &exists) {
		names = append(names, "ResourceAlreadyExistsException")
	}
	var events []logtypes.InputLogEvent
	now := time.Now().UnixMilli()
	for n := int64(0); n < 10; n++ {
		events = append(events, logtypes.InputLogEvent{
			Timestamp: aws.Int64(now + n), Message: aws.String(fmt.Sprintf("line %d ü", n)),
		})
	}
	if _, err := logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
		LogGroupName: group, LogStreamName: aws.String("app"), LogEvents: events,
	}); err != nil {
		return err
	}
	sort.Float64s(milliseconds)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls": calls, "milliseconds": milliseconds[calls/2], "errors": names,
	})
}
