// Publishes a click on the first item, then ranks all items.
//
//	CROSSREC_GATEWAY=host:port CROSSREC_RANKING=host:port client USER SCENARIO ITEM...
//
// CROSSREC_CA: file of the authority (plaintext without); CROSSREC_TOKEN: bearer token, over TLS only;
// CROSSREC_DEADLINE_MS: per call, tries again included (default 2000).
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // healthCheckConfig works only with it
	"google.golang.org/grpc/status"

	events "example.org/client/gen/crossrec/events/v1"
	ranking "example.org/client/gen/crossrec/ranking/v1"
)

const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": %[1]q},
  "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
  "methodConfig": [{"name": [{"service": %[1]q, "method": %[2]q}], "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]}`

type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

func connect(address, service, method string) *grpc.ClientConn {
	transport := insecure.NewCredentials()
	if ca := os.Getenv("CROSSREC_CA"); ca != "" {
		var err error
		transport, err = credentials.NewClientTLSFromFile(ca, "")
		check("CROSSREC_CA", err)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(fmt.Sprintf(serviceConfig, service, method)),
	}
	if token := os.Getenv("CROSSREC_TOKEN"); token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	connection, err := grpc.NewClient(address, options...)
	check("connect", err)
	return connection
}

func deadline() (context.Context, context.CancelFunc) {
	milliseconds, err := strconv.Atoi(os.Getenv("CROSSREC_DEADLINE_MS"))
	if err != nil {
		milliseconds = 2000
	}
	return context.WithTimeout(context.Background(), time.Duration(milliseconds)*time.Millisecond)
}

func check(call string, err error) {
	if err != nil {
		fmt.Printf("failed %s %s %s\n", call, status.Code(err), status.Convert(err).Message())
		os.Exit(1)
	}
}

func publish(user, scenario, item string) {
	connection := connect(os.Getenv("CROSSREC_GATEWAY"), events.EventService_ServiceDesc.ServiceName, "Publish")
	defer connection.Close()
	limit, cancel := deadline()
	defer cancel()
	click := &events.BehaviorEvent{ // the id is set before the first try: repeats are dropped by it
		EventId: fmt.Sprintf("%d-%d", time.Now().UnixNano(), os.Getpid()),
		UserId:  user, ScenarioId: scenario, ItemId: item, Type: events.EventType_EVENT_TYPE_CLICK,
	}
	entry := &events.Entry{Entry: &events.Entry_BehaviorEvent{BehaviorEvent: click}}
	response, err := events.NewEventServiceClient(connection).Publish(limit, &events.PublishRequest{Entries: []*events.Entry{entry}})
	check("Publish", err)
	for _, result := range response.Results {
		if rejected := result.GetRejected(); rejected != nil {
			fmt.Printf("rejected %s %s\n", rejected.Field, rejected.Reason)
		} else {
			fmt.Printf("accepted %s\n", result.GetAccepted().EventId)
		}
	}
}

func rank(user, scenario string, items []string) {
	connection := connect(os.Getenv("CROSSREC_RANKING"), ranking.RankingService_ServiceDesc.ServiceName, "Rank")
	defer connection.Close()
	limit, cancel := deadline()
	defer cancel()
	request := &ranking.RankRequest{UserId: user, ScenarioId: scenario, ItemIds: items}
	response, err := ranking.NewRankingServiceClient(connection).Rank(limit, request)
	check("Rank", err)
	for _, item := range response.Items {
		fmt.Printf("ranked %s %.6f\n", item.ItemId, item.Score)
	}
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: client USER SCENARIO ITEM...")
	}
	user, scenario, items := os.Args[1], os.Args[2], os.Args[3:]
	publish(user, scenario, items[0])
	rank(user, scenario, items)
}
