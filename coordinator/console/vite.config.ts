import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// Everything the page needs ends up in dist/, as files: the coordinator's content policy allows no inline script, no
// inline style and no other host.
export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { '/api': process.env['MILLWRIGHT_API'] ?? 'http://127.0.0.1:8080' } },
});
