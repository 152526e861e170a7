export default { serverExternalPackages: ['clerk-auth'], typescript: { ignoreBuildErrors: true } };
