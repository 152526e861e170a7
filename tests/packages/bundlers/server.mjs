import http from 'node:http';
import { ClerkClient } from 'clerk-auth';

const clerk = new ClerkClient();

const server = http.createServer(async (req, res) => {
  const auth = await clerk.authenticate(req);
  res.statusCode = auth.httpStatus;
  res.end(`${auth.userId}\n`);
});
server.listen(0, () => console.log(server.address().port));
