import http from 'node:http';
import { ClerkClient } from 'clerk-auth';

const clerk = new ClerkClient(); // CLERK_SECRET_KEY and the like

const server = http.createServer(async (req, res) => {
  const auth = await clerk.authenticate(req);
  res.statusCode = auth.httpStatus;
  res.end(auth.isAuthenticated ? `${auth.userId}\n` : `nobody: ${auth.reason}\n`);
});
server.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
