import clerk = require('clerk-auth');
import express = require('clerk-auth/express');

const client: clerk.ClerkClient = new clerk.ClerkClient({ secretKey: 'sk' });
express.clerkMiddleware(client);
