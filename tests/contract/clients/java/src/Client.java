import crossrec.events.v1.EventServiceGrpc;
import crossrec.events.v1.Events;
import crossrec.ranking.v1.Ranking;
import crossrec.ranking.v1.RankingServiceGrpc;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/**
 * Publishes a click on the first item, then ranks all items.
 *
 * <p>CROSSREC_GATEWAY=host:port CROSSREC_RANKING=host:port java -cp ... Client USER SCENARIO ITEM...
 *
 * <p>CROSSREC_CA: file of the authority (plaintext without); CROSSREC_TOKEN: bearer token, over TLS only;
 * CROSSREC_DEADLINE_MS: per call, tries again included (default 2000).
 */
public final class Client {
  private static final Map<String, String> ENV = System.getenv();
  private static final long DEADLINE_MS = Long.parseLong(ENV.getOrDefault("CROSSREC_DEADLINE_MS", "2000"));

  private static Map<String, Object> serviceConfig(String service, String method) {
    Map<String, Object> retryPolicy = Map.of(
        "maxAttempts", 5.0, "initialBackoff", "0.1s", "maxBackoff", "2s", "backoffMultiplier", 2.0,
        "retryableStatusCodes", List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED"));
    return Map.of(
        "loadBalancingConfig", List.of(Map.of("round_robin", Map.of())),
        "healthCheckConfig", Map.of("serviceName", service),
        "retryThrottling", Map.of("maxTokens", 100.0, "tokenRatio", 0.1),
        "methodConfig", List.of(Map.of(
            "name", List.of(Map.of("service", service, "method", method)), "retryPolicy", retryPolicy)));
  }

  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> KEY = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    @Override
    public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
      Metadata metadata = new Metadata();
      metadata.put(KEY, "Bearer " + ENV.get("CROSSREC_TOKEN"));
      applier.apply(metadata);
    }
  }

  private static ChannelCredentials credentials() throws IOException {
    if (!ENV.containsKey("CROSSREC_CA")) {
      if (ENV.containsKey("CROSSREC_TOKEN")) {
        throw new IllegalArgumentException("CROSSREC_TOKEN: would travel in the clear, set CROSSREC_CA");
      }
      return InsecureChannelCredentials.create();
    }
    ChannelCredentials tls = TlsChannelCredentials.newBuilder().trustManager(new File(ENV.get("CROSSREC_CA"))).build();
    return ENV.containsKey("CROSSREC_TOKEN") ? CompositeChannelCredentials.create(tls, new Bearer()) : tls;
  }

  private static ManagedChannel connect(String address, String service, String method) throws IOException {
    return Grpc.newChannelBuilder(address, credentials()).defaultServiceConfig(serviceConfig(service, method)).build();
  }

  private static void publish(String user, String scenario, String item) throws IOException {
    ManagedChannel channel = connect(ENV.get("CROSSREC_GATEWAY"), EventServiceGrpc.SERVICE_NAME, "Publish");
    Events.BehaviorEvent click = Events.BehaviorEvent.newBuilder()
        .setEventId(UUID.randomUUID().toString()) // before the first try: repeats are dropped by it
        .setUserId(user).setScenarioId(scenario).setItemId(item).setType(Events.EventType.EVENT_TYPE_CLICK).build();
    Events.PublishRequest request = Events.PublishRequest.newBuilder()
        .addEntries(Events.Entry.newBuilder().setBehaviorEvent(click)).build();
    Events.PublishResponse response = EventServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(DEADLINE_MS, TimeUnit.MILLISECONDS).publish(request);
    for (Events.EntryResult result : response.getResultsList()) {
      System.out.println(result.hasRejected()
          ? "rejected " + result.getRejected().getField() + " " + result.getRejected().getReason()
          : "accepted " + result.getAccepted().getEventId());
    }
    channel.shutdown();
  }

  private static void rank(String user, String scenario, List<String> items) throws IOException {
    ManagedChannel channel = connect(ENV.get("CROSSREC_RANKING"), RankingServiceGrpc.SERVICE_NAME, "Rank");
    Ranking.RankRequest request = Ranking.RankRequest.newBuilder()
        .setUserId(user).setScenarioId(scenario).addAllItemIds(items).build();
    Ranking.RankResponse response = RankingServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(DEADLINE_MS, TimeUnit.MILLISECONDS).rank(request);
    for (Ranking.RankedItem item : response.getItemsList()) {
      System.out.printf(Locale.ROOT, "ranked %s %.6f%n", item.getItemId(), item.getScore());
    }
    channel.shutdown();
  }

  public static void main(String[] arguments) throws IOException {
    String call = "Publish";
    try {
      publish(arguments[0], arguments[1], arguments[2]);
      call = "Rank";
      rank(arguments[0], arguments[1], Arrays.asList(arguments).subList(2, arguments.length));
    } catch (StatusRuntimeException failed) {
      System.out.printf("failed %s %s %s%n", call, failed.getStatus().getCode(), failed.getStatus().getDescription());
      System.exit(1);
    }
  }
}
