export { inside as default } from './baton.ts'
