import type { PresetName } from './presets.ts'
import { presets } from './presets.ts'

/** How a family of models is asked to fill in the middle: a prompt that goes to text completions as it is. */
export interface FimTemplate {
  /** The prompt for what is before and after the place. */
  readonly prompt: (prefix: string, suffix: string) => string
  /** The tokens that it is made of, and those with which the family ends a text. They end a completion, and text that holds one is cut there. */
  readonly tokens: readonly string[]
}

/** `<fim_prefix>`, as StarCoder was trained with, and those who took over its tokenizer. */
const starcoder: FimTemplate = {
  prompt: (prefix, suffix) => `<fim_prefix>${prefix}<fim_suffix>${suffix}<fim_middle>`,
  tokens: ['<|endoftext|>', '<file_sep>', '<fim_prefix>', '<fim_suffix>', '<fim_middle>', '<fim_pad>'],
}

const piped = (prefix: string, suffix: string): string => `<|fim_prefix|>${prefix}<|fim_suffix|>${suffix}<|fim_middle|>`
const pipedTokens = ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>', '<|fim_pad|>']

/**
 * Templates by family. Sources:
 *
 * - `qwen`: README of github.com/QwenLM/Qwen3-Coder, "Fill in the middle"; the same since Qwen2.5-Coder
 * - `starcoder` (StarCoder, StarCoder2, CodeQwen1.5): model card of bigcode/starcoder; arXiv 2402.19173, section 5.1; README of CodeQwen1.5
 * - `codellama`: `infilling_prompt_tokens` of github.com/meta-llama/codellama, llama/generation.py; the blanks belong to the tokens
 * - `deepseek`: README of github.com/deepseek-ai/DeepSeek-Coder, "Code Insertion"; the bars and underscores are characters beyond ASCII
 * - `codestral`: `encode_fim` of github.com/mistralai/mistral-common, tokens/tokenizers/instruct.py; the text after comes first
 * - `codegemma`: ai.google.dev/gemma/docs/codegemma/prompt-structure
 * - `granite` (Granite Code, 3.x): the tokenizer of StarCoder, says the README of github.com/ibm-granite/granite-code-models
 * - `granite4`: "About FIM" in the prompt engineering guide of github.com/ibm-granite/granite-4.0-language-models
 */
export const fimTemplates = {
  qwen: { prompt: piped, tokens: ['<|endoftext|>', '<|file_sep|>', '<|repo_name|>', '<|im_end|>', '<|im_start|>', ...pipedTokens] },
  starcoder,
  codellama: {
    prompt: (prefix, suffix) => `<PRE> ${prefix} <SUF>${suffix} <MID>`,
    tokens: [' <EOT>', '<EOT>', '<PRE>', '<SUF>', '<MID>'],
  },
  deepseek: {
    prompt: (prefix, suffix) => `<｜fim▁begin｜>${prefix}<｜fim▁hole｜>${suffix}<｜fim▁end｜>`,
    tokens: ['<｜end▁of▁sentence｜>', '<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>', '<|EOT|>'],
  },
  codestral: {
    prompt: (prefix, suffix) => `[SUFFIX]${suffix}[PREFIX]${prefix}`,
    tokens: ['</s>', '[PREFIX]', '[SUFFIX]', '[MIDDLE]'],
  },
  codegemma: { prompt: piped, tokens: ['<|file_separator|>', '<end_of_turn>', '<eos>', ...pipedTokens] },
  granite: starcoder,
  granite4: { prompt: piped, tokens: ['<|end_of_text|>', '<|start_of_role|>', ...pipedTokens] },
} as const satisfies Readonly<Record<string, FimTemplate>>

/** A name of {@link fimTemplates}. */
export type FimFamily = keyof typeof fimTemplates

/**
 * How a model is asked to fill in the middle: `suffix` by text completions with a suffix, as Ollama and DeepSeek take it; `mistral` by Mistral's own
 * `/fim/completions`; else by a prompt in the tokens of a family of models, where a server passes prompts on as they are (vLLM, llama.cpp, LM Studio).
 */
export type FimFormat = 'suffix' | 'mistral' | FimFamily

/** The names of models by which a family is known. Variants without infilling (Code Llama Python and 34B, instructed CodeGemma) are none. */
const families: readonly (readonly [RegExp, FimFamily])[] = [
  [/codeqwen/, 'starcoder'],
  [/qwen-?(2\.5|3).*coder/, 'qwen'],
  [/starcoder/, 'starcoder'],
  [/code-?llama(?!.*(python|34b))/, 'codellama'],
  [/deepseek-coder/, 'deepseek'],
  [/codestral(?!.*mamba)/, 'codestral'],
  [/codegemma(?!.*(instruct|-it\b))/, 'codegemma'],
  [/granite-?4/, 'granite4'],
  [/granite.*code|granite-?3\.3/, 'granite'],
]

/** The family that a model's name tells of. */
export function fimFamilyOf(model: string): FimFamily | undefined {
  const name = model.toLowerCase()
  return families.find(([pattern]) => pattern.test(name))?.[1]
}

/**
 * How a model at an endpoint is asked to fill in the middle, where that is known: at Mistral, DeepSeek and OpenAI by what they document; at the other providers
 * of the presets not, since not each of them passes prompts on; elsewhere by the model's name.
 */
export function fimFormatOf(url: URL, model: string): FimFormat | undefined {
  const host = url.hostname
  if (host.endsWith('.mistral.ai')) return /codestral/.test(model) ? 'mistral' : undefined
  if (host === 'api.deepseek.com') return /reason/.test(model) ? undefined : 'suffix'
  if (host === 'api.openai.com') return model.startsWith('gpt-3.5-turbo-instruct') ? 'suffix' : undefined
  if (cloudHosts.has(host)) return undefined
  return fimFamilyOf(model)
}

const cloudHosts: ReadonlySet<string> = new Set(
  (Object.keys(presets) as PresetName[]).map((name) => new URL(presets[name].baseUrl).hostname).filter((host) => host !== 'localhost'),
)
