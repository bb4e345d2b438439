import { z } from 'zod';

// The coordinator’s content policy forbids code from text. zod would try whether it may and leave a complaint in the
// console; this tells it not to. It must be the first import of the page, before any schema is made.
z.config({ jitless: true });
