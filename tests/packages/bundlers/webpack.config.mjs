export default (env) => ({
  mode: 'production',
  target: 'node',
  entry: './server.mjs',
  output: { filename: env.out },
  externals: env.bundled ? {} : { 'clerk-auth': 'commonjs clerk-auth' },
});
