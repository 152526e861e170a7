export default {
  logLevel: 'warn',
  ssr: { external: ['clerk-auth'] },
  build: { ssr: 'server.mjs', outDir: 'dist/vite', rollupOptions: { external: ['clerk-auth'] } },
};
