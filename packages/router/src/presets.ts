import type { OpenAIQuirks } from './openai-quirks.ts'

/** A provider or local server that speaks OpenAI's protocol. */
export interface Preset {
  readonly baseUrl: string
  /** Environment variable of the key. Absent for local servers, which want none. */
  readonly keyVariable?: string | undefined
  /** Whether it has the responses API besides chat completions. */
  readonly responses?: boolean | undefined
  readonly quirks?: OpenAIQuirks | undefined
  /** How models of a known family fill in the middle there, where it is not by their tokens. */
  readonly fim?: 'suffix' | undefined
  /** On this host: any model name is taken, since only the server knows what it serves. */
  readonly isLocal?: boolean | undefined
}

/** Base URLs, keys and quirks by the provider's name in the catalogue, from the providers' own documentation. */
export const presets = {
  openai: { baseUrl: 'https://api.openai.com/v1', keyVariable: 'OPENAI_API_KEY', responses: true },
  google: { baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai', keyVariable: 'GEMINI_API_KEY' },
  // Usage comes at the end of each stream there, without being asked for.
  mistral: {
    baseUrl: 'https://api.mistral.ai/v1',
    keyVariable: 'MISTRAL_API_KEY',
    quirks: { streamUsage: false, shortCallIds: true },
  },
  deepseek: { baseUrl: 'https://api.deepseek.com', keyVariable: 'DEEPSEEK_API_KEY', quirks: { reasoningField: 'reasoning_content' } },
  xai: { baseUrl: 'https://api.x.ai/v1', keyVariable: 'XAI_API_KEY', responses: true, quirks: { maxTokensField: 'max_completion_tokens' } },
  groq: {
    baseUrl: 'https://api.groq.com/openai/v1',
    keyVariable: 'GROQ_API_KEY',
    responses: true,
    quirks: { maxTokensField: 'max_completion_tokens' },
  },
  cerebras: {
    baseUrl: 'https://api.cerebras.ai/v1',
    keyVariable: 'CEREBRAS_API_KEY',
    quirks: { maxTokensField: 'max_completion_tokens' },
  },
  'fireworks-ai': { baseUrl: 'https://api.fireworks.ai/inference/v1', keyVariable: 'FIREWORKS_API_KEY' },
  togetherai: { baseUrl: 'https://api.together.xyz/v1', keyVariable: 'TOGETHER_API_KEY' },
  deepinfra: { baseUrl: 'https://api.deepinfra.com/v1/openai', keyVariable: 'DEEPINFRA_API_KEY' },
  openrouter: {
    baseUrl: 'https://openrouter.ai/api/v1',
    keyVariable: 'OPENROUTER_API_KEY',
    responses: true,
    quirks: { reasoningField: 'reasoning' },
  },
  // Its thinking models want their reasoning back between tool calls.
  moonshotai: {
    baseUrl: 'https://api.moonshot.ai/v1',
    keyVariable: 'MOONSHOT_API_KEY',
    quirks: { reasoningField: 'reasoning_content' },
  },
  zai: { baseUrl: 'https://api.z.ai/api/paas/v4', keyVariable: 'ZHIPU_API_KEY', quirks: { reasoningField: 'reasoning_content' } },
  alibaba: { baseUrl: 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1', keyVariable: 'DASHSCOPE_API_KEY' },
  minimax: { baseUrl: 'https://api.minimax.io/v1', keyVariable: 'MINIMAX_API_KEY' },
  inception: { baseUrl: 'https://api.inceptionlabs.ai/v1', keyVariable: 'INCEPTION_API_KEY' },
  poolside: { baseUrl: 'https://inference.poolside.ai/v1', keyVariable: 'POOLSIDE_API_KEY' },
  cohere: { baseUrl: 'https://api.cohere.ai/compatibility/v1', keyVariable: 'COHERE_API_KEY' },
  nvidia: { baseUrl: 'https://integrate.api.nvidia.com/v1', keyVariable: 'NVIDIA_API_KEY' },
  'github-models': { baseUrl: 'https://models.github.ai/inference', keyVariable: 'GITHUB_TOKEN' },
  huggingface: { baseUrl: 'https://router.huggingface.co/v1', keyVariable: 'HF_TOKEN' },
  'ollama-cloud': { baseUrl: 'https://ollama.com/v1', keyVariable: 'OLLAMA_API_KEY' },
  llama: { baseUrl: 'https://api.llama.com/compat/v1', keyVariable: 'LLAMA_API_KEY' },
  perplexity: { baseUrl: 'https://api.perplexity.ai', keyVariable: 'PERPLEXITY_API_KEY', quirks: { streamUsage: false } },
  morph: { baseUrl: 'https://api.morphllm.com/v1', keyVariable: 'MORPH_API_KEY' },
  vercel: { baseUrl: 'https://ai-gateway.vercel.sh/v1', keyVariable: 'AI_GATEWAY_API_KEY' },
  // Puts prompts into the model's own template, which has a place for a suffix.
  ollama: { baseUrl: 'http://localhost:11434/v1', isLocal: true, responses: true, fim: 'suffix' },
  lmstudio: { baseUrl: 'http://localhost:1234/v1', isLocal: true, responses: true },
  llamacpp: { baseUrl: 'http://localhost:8080/v1', isLocal: true },
  vllm: { baseUrl: 'http://localhost:8000/v1', isLocal: true, responses: true },
} as const satisfies Readonly<Record<string, Preset>>

/** A name of {@link presets}. */
export type PresetName = keyof typeof presets
