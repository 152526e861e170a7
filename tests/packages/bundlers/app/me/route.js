import { ClerkClient } from 'clerk-auth';

// Made on the first request: `next build` loads this module without the server's environment.
let client;
const clerk = () => (client ??= new ClerkClient());

export async function GET(request) {
  const auth = await clerk().authenticate(request);
  return new Response(`${auth.userId}\n`, { status: auth.httpStatus });
}
