// Metrics for Prometheus at /metrics, by prom-client, and a span of OpenTelemetry for each authentication.
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { ClerkClient } from 'clerk-auth';
import { Histogram, Registry } from 'prom-client';

const clerk = new ClerkClient();
const registry = new Registry();
const authentications = new Histogram({
  name: 'clerk_authentication_seconds',
  help: 'Duration of authentications by outcome: the source of an identity, or the reason of a rejection.',
  labelNames: ['outcome'],
  buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5],
  registers: [registry],
});

// Published once for each call of `authenticate`, with the result and how long it took.
diagnostics.subscribe('clerk-auth:authenticate', ({ auth, error, durationMs }) => {
  const outcome = auth === null ? 'error' : auth.isAuthenticated ? auth.source : auth.reason;
  authentications.observe({ outcome }, durationMs / 1000);

  // With an SDK of OpenTelemetry installed, a child of the request's span.
  const startTime = Date.now() - durationMs;
  const span = trace.getTracer('clerk-auth').startSpan('clerk.authenticate', { startTime });
  span.setAttribute('clerk.outcome', outcome);
  if (error !== null || auth.status === 'unavailable') span.setStatus({ code: SpanStatusCode.ERROR, message: outcome });
  span.end();
});

const server = http.createServer(async (req, res) => {
  if (req.url === '/metrics') {
    res.setHeader('content-type', registry.contentType);
    // The counters of the client are in the same format.
    return res.end((await registry.metrics()) + clerk.metricsText());
  }
  const auth = await clerk.authenticate(req);
  res.statusCode = auth.httpStatus;
  res.end(`${auth.userId ?? auth.publicReason}\n`);
});
server.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
