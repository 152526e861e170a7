import { ClerkClient } from 'clerk-auth';

// At module level: `next build` loads this module without the server's environment.
const clerk = new ClerkClient();

export async function GET(request) {
  const auth = await clerk.authenticate(request);
  return new Response(`${auth.userId}\n`, { status: auth.httpStatus });
}
