// Metrics for Prometheus at /metrics, and a span of OpenTelemetry for each authentication.
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { ClerkClient } from 'clerk-auth';

const clerk = new ClerkClient();
const BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5];
const outcomes = new Map();

// Published once for each call of `authenticate`, with the result and how long it took.
diagnostics.subscribe('clerk-auth:authenticate', ({ auth, error, durationMs }) => {
  const outcome = auth === null ? 'error' : auth.isAuthenticated ? auth.source : auth.reason;
  const found = outcomes.get(outcome) ?? { count: 0, sum: 0, buckets: BUCKETS.map(() => 0) };
  outcomes.set(outcome, found);
  const seconds = durationMs / 1000;
  found.count++;
  found.sum += seconds;
  BUCKETS.forEach((limit, i) => (found.buckets[i] += Number(seconds <= limit)));

  // With an SDK of OpenTelemetry installed, a child of the request's span.
  const startTime = Date.now() - durationMs;
  const span = trace.getTracer('clerk-auth').startSpan('clerk.authenticate', { startTime });
  span.setAttribute('clerk.outcome', outcome);
  if (error !== null || auth.status === 'unavailable') span.setStatus({ code: SpanStatusCode.ERROR, message: outcome });
  span.end();
});

function metrics() {
  const name = 'clerk_authentication_seconds';
  const lines = [`# HELP ${name} Duration of authentications by outcome.`, `# TYPE ${name} histogram`];
  for (const [outcome, { count, sum, buckets }] of outcomes) {
    const label = `outcome="${outcome}"`;
    BUCKETS.forEach((limit, i) => lines.push(`${name}_bucket{${label},le="${limit}"} ${buckets[i]}`));
    lines.push(`${name}_bucket{${label},le="+Inf"} ${count}`);
    lines.push(`${name}_sum{${label}} ${sum}`, `${name}_count{${label}} ${count}`);
  }
  // Beside metrics of `prom-client`: (await register.metrics()) + clerk.metricsText().
  return `${lines.join('\n')}\n${clerk.metricsText()}`;
}

const server = http.createServer(async (req, res) => {
  if (req.url === '/metrics') {
    res.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    return res.end(metrics());
  }
  const auth = await clerk.authenticate(req);
  res.statusCode = auth.httpStatus;
  res.end(`${auth.userId ?? auth.publicReason}\n`);
});
server.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
