export { inMemory as default } from './baton.ts'
