import type { Model } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import { ModelError } from '@baton-sdk/core/plugin'
import type { Catalogue } from './catalogue/catalogue.ts'
import { didYouMean, infoOf, sharedCatalogue } from './catalogue/catalogue.ts'
import { fimFamilyOf } from './fim-formats.ts'
import { nearestNames } from './nearest-names.ts'
import type { OpenAIModelOptions } from './openai-model.ts'
import { createOpenAIModel } from './openai-model.ts'
import type { Preset, PresetName } from './presets.ts'
import { presets } from './presets.ts'

/** Options of {@link createPresetModel}: those of `createOpenAIModel`, whose defaults come from the preset and the catalogue. */
export interface PresetModelOptions extends OpenAIModelOptions {
  /** Where limits, capabilities and prices come from. Default: the vendored data. */
  readonly catalogue?: Catalogue | undefined
}

/**
 * A model of a provider or a local server that is known by name: `createPresetModel('groq', { model: 'openai/gpt-oss-120b' })`. Its id is
 * `preset/model`. Base URL, quirks and the key's environment variable come from the preset; window, capabilities and prices from the catalogue.
 * The key of the environment goes to the preset's own URL only.
 *
 * @throws BatonError `INVALID_OPTIONS` for an unknown preset, `UNKNOWN_MODEL` for a model that the catalogue does not hold where `info` does not
 * give its `contextWindow`; both name the nearest.
 */
export function createPresetModel(name: PresetName, { catalogue = sharedCatalogue(), ...options }: PresetModelOptions): Model {
  const preset = findPreset(name, 'createPresetModel')
  const { model, info = {} } = options
  const id = `${name}/${model}`
  const entry = catalogue.find(id)
  if (!entry && !preset.isLocal && info.contextWindow === undefined) throw unknownModel(id, catalogue)
  return createOpenAIModel({
    ...options,
    id: options.id ?? id,
    baseUrl: options.baseUrl ?? preset.baseUrl,
    apiKey: options.apiKey ?? presetKey(name, preset, options),
    quirks: { ...preset.quirks, ...options.quirks },
    fim: options.fim ?? (preset.fim && fimFamilyOf(model) ? preset.fim : undefined),
    info: entry ? { ...infoOf(entry), ...info, capabilities: { ...entry.capabilities, ...info.capabilities } } : info,
  })
}

/**
 * A preset by name.
 *
 * @throws BatonError `INVALID_OPTIONS`, naming the nearest
 */
export function findPreset(name: string, where: string): Preset {
  if (Object.hasOwn(presets, name)) return presets[name as PresetName]
  const problem = `there is no preset ${JSON.stringify(name)}${didYouMean(nearestNames(name, Object.keys(presets)))}`
  throw new BatonError('INVALID_OPTIONS', `${where}: preset: ${problem}`, { details: { issues: [{ field: 'preset', problem }] } })
}

/** The key of a preset: none for local servers, and the environment's only for the preset's own URL. */
export function presetKey(
  name: string,
  { baseUrl, keyVariable, isLocal }: Preset,
  options: Pick<OpenAIModelOptions, 'baseUrl' | 'headers'>,
): string | false | undefined {
  if (isLocal) return false
  if (options.baseUrl !== undefined && options.baseUrl !== baseUrl) return undefined
  const key = keyVariable && process.env[keyVariable]
  if (key) return key
  if (Object.keys(options.headers ?? {}).some((header) => /^(authorization|api-key|x-api-key)$/i.test(header))) return undefined
  const problem = `${name} needs a key: pass it or set ${keyVariable}; \`false\` sends none`
  throw new BatonError('INVALID_OPTIONS', `apiKey: ${problem}`, { details: { issues: [{ field: 'apiKey', problem }] } })
}

function unknownModel(id: string, catalogue: Catalogue): ModelError {
  const nearest = catalogue.nearest(id)
  return new ModelError(
    'unknown-model',
    `the catalogue of ${catalogue.date} has no ${id}${didYouMean(nearest)}; for a newer one, give info.contextWindow`,
    { details: { nearest } },
  )
}
