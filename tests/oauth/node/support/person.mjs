// A person at a browser without scripts: follows redirects, keeps cookies, fills in the forms that come, presses buttons.
import assert from 'node:assert/strict'
import https from 'node:https'
import { facts } from './parts.mjs'

/** Where native clients wait for the answer; nobody listens there, the person hands the address over. */
export const REDIRECT_URI = 'http://127.0.0.1:49152/'

export class Person {
  #cookies = new Map()

  /**
   * Signs in as a user of the issuer.
   * @param {{ login: string, password: string }} user
   */
  constructor(user = facts.users[0]) {
    this.user = user
  }

  /** Opens an authorization request and answers every page; the address, away from the issuer, that it ends at. */
  async answer(url, decision = 'allow') {
    const signIn = await this.open(url)
    const consent = await this.submit(signIn, this.user)
    return left(await this.submit(consent, { decision }))
  }

  /** Types a device's code and answers every page; the last page. */
  async connectDevice(url, userCode, decision = 'allow') {
    const code = await this.open(url)
    const signIn = await this.submit(code, { user_code: userCode })
    const consent = await this.submit(signIn, this.user)
    assert.ok(consent.text.includes(userCode), 'the consent page must show the code')
    return this.submit(consent, { decision })
  }

  /** A page, at the end of its redirects. */
  open(url) {
    return this.#fetch(new URL(url), 'GET')
  }

  /** Sends the only form of a page, with its hidden fields as they are. */
  submit(page, values) {
    assert.ok(page.form, `there is no form to send on ${page.url}: ${page.status}\n${page.text}`)
    const { action, method, fields, names } = page.form
    for (const name of Object.keys(values)) {
      assert.ok(names.includes(name) || !['login', 'password', 'decision', 'user_code'].includes(name),
        `the form on ${page.url} has no ${name}, but ${names}\n${page.text}`)
    }
    const wanted = Object.entries(values).filter(([name]) => names.includes(name))
    const body = new URLSearchParams({ ...fields, ...Object.fromEntries(wanted) })
    const target = new URL(action, page.url)
    if (target.origin !== new URL(facts.issuer).origin) return { away: target, form: body }
    return this.#fetch(target, method, body)
  }

  async #fetch(url, method, body) {
    for (let hops = 0; hops < 5; hops++) {
      const answer = await this.#request(url, method, body)
      if (answer.status < 300 || answer.status > 399) return parsed(url, answer)
      assert.notEqual(answer.status, 307, 'a redirect must not carry a password on')
      const target = new URL(answer.headers.location, url)
      if (target.origin !== new URL(facts.issuer).origin) return { away: target }
      ;[url, method, body] = [target, 'GET', undefined]
    }
    throw new Error(`too many redirects, the last to ${url}`)
  }

  #request(url, method, body) {
    const headers = { accept: 'text/html', 'sec-fetch-site': method === 'GET' ? 'none' : 'same-origin' }
    if (this.#cookies.size) headers.cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    if (body) headers['content-type'] = 'application/x-www-form-urlencoded'
    if (method !== 'GET') headers.origin = url.origin
    return new Promise((resolve, reject) => {
      const request = https.request(url, { method, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => (text += chunk))
        response.on('error', reject)
        response.on('end', () => {
          for (const cookie of response.headers['set-cookie'] ?? []) this.#keep(cookie)
          resolve({ status: response.statusCode, headers: response.headers, text })
        })
      })
      request.on('error', reject)
      request.end(body?.toString())
    })
  }

  #keep(cookie) {
    const [pair, ...attributes] = cookie.split(';').map((part) => part.trim())
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    const lower = attributes.map((attribute) => attribute.toLowerCase())
    assert.ok(lower.includes('secure') && lower.includes('httponly'), `an open cookie: ${name}`)
    if (lower.includes('max-age=0')) this.#cookies.delete(name)
    else this.#cookies.set(name, value)
  }
}

/** The address that a page led to. */
export function left(page) {
  assert.ok(page.away, `the way back to the client was expected, but there is a page: ${page.status}\n${page.text}`)
  return page.away
}

/** What a browser would see of a page. */
function parsed(url, { status, headers, text }) {
  const page = { url, status, headers, text }
  const open = /<form\b([^>]*)>([\s\S]*?)<\/form>/i.exec(text)
  if (!open) return page
  const form = attributes(open[1])
  page.form = { action: form.action, method: (form.method ?? 'get').toUpperCase(), fields: {}, names: [] }
  for (const [, tag, rest] of open[2].matchAll(/<(input|button)\b([^>]*)>/gi)) {
    const field = attributes(rest)
    if (!field.name) continue
    page.form.names.push(field.name)
    // A button is sent only when it is pressed.
    if (tag === 'input') page.form.fields[field.name] = field.value ?? ''
  }
  return page
}

function attributes(text) {
  const found = {}
  for (const [, name, value] of text.matchAll(/([a-z_-]+)(?:="([^"]*)")?/gi)) found[name] = unescape(value ?? '')
  return found
}

function unescape(text) {
  const names = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (decimal) return String.fromCodePoint(Number(decimal))
    if (hex) return String.fromCodePoint(parseInt(hex, 16))
    return names[name] ?? whole
  })
}
