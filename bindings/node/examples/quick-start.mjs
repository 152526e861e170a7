import http from 'node:http';
import { ClerkClient } from 'clerk-auth';

const clerk = new ClerkClient(); // reads CLERK_SECRET_KEY and other variables

const server = http.createServer(async (req, res) => {
  const auth = await clerk.authenticate(req);
  res.statusCode = auth.httpStatus;
  res.end(auth.isAuthenticated ? `${auth.userId}\n` : `not signed in: ${auth.publicReason}\n`);
});
server.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
