export { streamed as default } from './ai.ts'
