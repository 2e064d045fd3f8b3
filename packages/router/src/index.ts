export { createOpenAIModel, type OpenAIModelOptions } from './openai-model.ts'
export type { OpenAIQuirks } from './openai-quirks.ts'
