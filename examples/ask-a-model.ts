import { createOpenAIModel } from '@baton-sdk/router'

const model = createOpenAIModel({
  model: process.env.BATON_MODEL ?? 'qwen3-coder',
  baseUrl: process.env.OPENAI_BASE_URL ?? 'http://localhost:11434/v1', // Ollama on this host
  info: { contextWindow: 32_768 },
})

const messages = [{ role: 'user', parts: [{ type: 'text', text: 'Say hello.' }] }] as const
for await (const chunk of model.generate({ messages }, {})) {
  if (chunk.type === 'text') process.stdout.write(chunk.text)
  if (chunk.type === 'finish') console.log(`\n${chunk.reason}, ${chunk.usage?.outputTokens ?? 'unknown'} tokens`)
}
