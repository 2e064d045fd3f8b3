import type { Model } from '@baton-sdk/core'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { createOpenAIModel } from '@baton-sdk/router'
import { scriptedFix } from './scripted-fix.ts'

/** A model with what there is to say about it, and how to let go of it. */
export interface ChosenModel {
  readonly model: Model
  readonly note: string
  close(): Promise<void>
}

/** The live model that the environment names, or the scripted one; text where neither will do. */
export async function chooseModel(options: { readonly scripted: boolean; readonly slow: boolean }): Promise<ChosenModel | string> {
  if (options.scripted) {
    const server = await startScriptedServer((request) => ({ ...scriptedFix(request.turn), delayMs: options.slow ? 900 : 0 }), {
      schemaDir: false,
    })
    const model = createOpenAIModel({
      model: 'scripted',
      id: 'demo/scripted',
      baseUrl: server.url,
      apiKey: 'none',
      info: { price: { input: 1.25, output: 10 } },
    })
    return {
      model,
      note: 'The model is scripted: a server on this machine plays its part, over real HTTP. Tools, sandbox and checks are real.',
      close: () => server.close(),
    }
  }
  const { OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl, BATON_MODEL: name = 'gpt-5.4-mini' } = process.env
  if (!apiKey && !baseUrl)
    return 'A repository of yours needs a live model: set OPENAI_API_KEY (or OPENAI_BASE_URL for a server of your own), and BATON_MODEL.'
  const model = createOpenAIModel({ model: name, ...(apiKey && { apiKey }), ...(baseUrl && { baseUrl }) })
  return { model, note: `The model is live: ${model.id}.`, close: async () => {} }
}
