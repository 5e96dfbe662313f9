import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import {
  backIn, browse, decide, fits, isProtected, MAIL, openClient, request, signIn, SMALL, startApp,
} from './support/chromium.mjs'
import { openMailbox } from './support/mailbox.mjs'

const [alice, bob] = facts.users
/** Chromium reports an answer of 4xx on the console, the page's own as well. */
const UNPROCESSABLE = /the server responded with a status of 422/

await run({
  async front_page() {
    await browse(async (page) => {
      const answer = await page.goto(`${facts.issuer}/`)
      assert.equal(answer.status(), 200)
      assert.ok((await page.title()).includes(facts.hostname))
      await isProtected(answer)
    })
  },

  async sign_in() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(async (page) => {
      await isProtected(await page.goto(url))
      const consent = page.waitForResponse((answer) => answer.request().method() === 'POST')
      await signIn(page, alice)
      await isProtected(await consent)
      assert.ok((await page.locator('main').innerText()).includes(alice.login))
      await decide(page, 'allow')
      const tokens = await exchange(await backIn(app, page))
      assert.ok(await openMailbox(tokens.access_token))
    })
    assert.equal(app.answers.length, 1)
  },

  async form_post() {
    for (const javaScriptEnabled of [true, false]) {
      const app = await startApp()
      const { url, exchange } = await request(app, { response_mode: 'form_post' })
      await browse(
        async (page) => {
          await page.goto(url)
          await signIn(page, alice)
          await decide(page, 'allow')
          if (!javaScriptEnabled) await page.locator('button[type=submit]').click()
          const parameters = await backIn(app, page)
          assert.equal(app.answers[0].method, 'POST')
          assert.equal(app.answers[0].url.search, '')
          await openMailbox((await exchange(parameters)).access_token)
        },
        { javaScriptEnabled },
      )
    }
  },

  async wrong_password() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await signIn(page, { login: alice.login, password: 'wrong' })
        await page.getByRole('alert').waitFor()
        const wrong = await page.locator('main').innerText()
        assert.equal(await page.locator('input[name=login]').inputValue(), alice.login)
        assert.equal(await page.locator('input[name=password]').inputValue(), '')
        // A user that does not exist sees the very same page.
        await signIn(page, { login: 'nobody@example.org', password: 'wrong' })
        await page.locator('input[name=login][value^=nobody]').waitFor()
        assert.equal(await page.locator('main').innerText(), wrong)
        await signIn(page, alice)
        await decide(page, 'allow')
        await openMailbox((await exchange(await backIn(app, page))).access_token)
      },
      { expected: UNPROCESSABLE },
    )
  },

  async too_many_wrong_passwords() {
    const app = await startApp()
    const { url } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        for (let tries = 0; tries < 5; tries++) {
          const answer = page.waitForResponse((answer) => answer.request().method() === 'POST')
          await signIn(page, { login: alice.login, password: 'wrong' })
          await (await answer).finished()
          await page.waitForLoadState()
        }
        // The request has ended; there is nothing to type into.
        assert.equal(await page.locator('input[name=password]').count(), 0)
        assert.match(await page.locator('h1').innerText(), /Too many wrong passwords/)
      },
      { expected: /the server responded with a status of 4\d\d/ },
    )
    assert.equal(app.answers.length, 0)
  },

  async double_submit() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(async (page, context) => {
      await page.goto(url)
      await signIn(page, alice)
      await page.locator('button[name=decision]').first().waitFor()
      // The form is sent once behind the page's back, then once more by the page.
      const fields = {}
      for (const field of await page.locator('input[type=hidden]').all()) {
        fields[await field.getAttribute('name')] = await field.getAttribute('value')
      }
      const action = new URL(await page.locator('form').getAttribute('action'), page.url()).href
      const headers = { 'sec-fetch-site': 'same-origin' }
      const form = { ...fields, decision: 'allow' }
      const first = await context.request.post(action, { form, headers, maxRedirects: 0 })
      assert.equal(first.status(), 303)
      await decide(page, 'allow')
      const parameters = await backIn(app, page)
      assert.equal(new URL(first.headers().location).searchParams.get('code'), parameters.get('code'))
      await openMailbox((await exchange(parameters)).access_token)
      // Once the code is used, the form gives nothing any more.
      const late = await context.request.post(action, { form, headers, maxRedirects: 0 })
      assert.ok(late.status() >= 400 && !late.headers().location, String(late.status()))
    })
  },

  async double_click() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await signIn(page, alice)
        await page.locator('button[value=allow]').dblclick()
        await openMailbox((await exchange(await backIn(app, page))).access_token)
      },
      // The browser gives up the first sending for the second.
      { tolerated: /ERR_ABORTED/ },
    )
  },

  async back_button() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await signIn(page, alice)
        await page.locator('button[value=allow]').waitFor()
        // Somebody else at the same machine goes back from alice's consent page, and becomes nobody but bob.
        await page.goBack()
        assert.equal(await page.locator('input[name=password]').inputValue(), '')
        await signIn(page, bob)
        assert.ok((await page.locator('main').innerText()).includes(bob.login))
        await decide(page, 'allow')
        const tokens = await exchange(await backIn(app, page))
        await openMailbox(tokens.access_token, bob.login)
        // Back again: the consent page was not kept, and what is before it asks for the password.
        await page.goBack().catch((error) => assert.match(String(error), /ERR_CACHE_MISS/))
        await page.waitForURL((url) => !url.href.startsWith(app.uri))
        await page.waitForURL('chrome-error://chromewebdata/')
        assert.equal(await page.locator('button[name=decision]').count(), 0)
        await page.goto(url)
        assert.equal(await page.locator('input[name=password]').inputValue(), '')
      },
      { tolerated: /ERR_CACHE_MISS/ },
    )
    assert.equal(app.answers.length, 1)
  },

  async deny() {
    const app = await startApp()
    const { url, state } = await request(app)
    await browse(async (page) => {
      await page.goto(url)
      await signIn(page, alice)
      await decide(page, 'deny')
      const parameters = await backIn(app, page)
      assert.equal(parameters.get('error'), 'access_denied')
      assert.equal(parameters.get('state'), state)
      assert.equal(parameters.get('code'), null)
    })
  },

  async device() {
    const config = await openClient()
    const device = await client.initiateDeviceAuthorization(config, { scope: MAIL })
    const polled = client.pollDeviceAuthorizationGrant(config, device)
    await browse(
      async (page) => {
        await isProtected(await page.goto(device.verification_uri))
        await page.locator('input[name=user_code]').fill('BCDF-GHJK')
        await page.locator('button[type=submit]').click()
        await page.getByRole('alert').waitFor()
        // As people type it.
        await page.locator('input[name=user_code]').fill(` ${device.user_code.toLowerCase().replace('-', ' ')}`)
        await page.locator('button[type=submit]').click()
        await signIn(page, alice)
        const consent = await page.locator('main').innerText()
        assert.ok(consent.includes(device.user_code), consent)
        assert.match(consent, /127\.0\.0\.1|::1/)
        await decide(page, 'allow')
        await page.getByRole('status').waitFor()
      },
      { expected: UNPROCESSABLE },
    )
    await openMailbox((await polled).access_token)
  },

  async small_screen() {
    const app = await startApp()
    const name = 'A rather long name of a client that says much and more of itself'
    const config = await client.dynamicClientRegistration(new URL(facts.issuer), {
      client_name: name,
      redirect_uris: [app.uri],
      token_endpoint_auth_method: 'none',
    }, client.None())
    const device = await client.initiateDeviceAuthorization(await openClient(), { scope: MAIL })
    const { url } = await request(app, { client_id: config.clientMetadata().client_id, scope: `openid email ${MAIL}` })
    await browse(
      async (page) => {
        await page.goto(`${facts.issuer}/`)
        await fits(page)
        await page.goto(url)
        await fits(page)
        await signIn(page, { login: alice.login, password: 'wrong' })
        await page.getByRole('alert').waitFor()
        await fits(page)
        await signIn(page, alice)
        await page.locator('button[value=allow]').waitFor()
        await fits(page)
        await page.goto(device.verification_uri_complete)
        await fits(page)
        assert.equal(await page.locator('input[name=user_code]').inputValue(), device.user_code)
        await page.locator('button[type=submit]').click()
        await signIn(page, alice)
        await page.locator('button[value=deny]').waitFor()
        await fits(page)
        await decide(page, 'deny')
        await page.getByRole('status').waitFor()
        await fits(page)
        await page.goto(url.replace('client_id=', 'client_id=not-'))
        await fits(page)
      },
      { ...SMALL, expected: /the server responded with a status of 4\d\d/ },
    )
  },

  async frame() {
    const pages = {}
    const app = await startApp(pages)
    const { url } = await request(app)
    pages['/frame'] = `<iframe src="${url.replaceAll('&', '&amp;')}"></iframe>`
    await browse(
      async (page) => {
        await page.goto(`${app.uri}frame`)
        const [, frame] = page.frames()
        assert.equal(await frame.locator('input').count(), 0)
        assert.ok(!frame.url().startsWith(facts.issuer), frame.url())
      },
      { expected: /frame-ancestors|ERR_BLOCKED_BY_RESPONSE/ },
    )
  },

  async foreign_form() {
    const pages = {}
    const app = await startApp(pages)
    const { url } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        const form = await page.locator('form').innerHTML()
        const action = new URL(await page.locator('form').getAttribute('action'), url).href
        // A stranger's page sends the very form that this browser has got.
        pages['/stranger'] = `<form method="post" action="${action}">${form}</form>`
        await page.goto(`${app.uri}stranger`)
        const answer = page.waitForResponse((answer) => answer.request().method() === 'POST')
        await signIn(page, alice)
        assert.equal((await answer).status(), 403)
        assert.equal(await page.locator('button[name=decision]').count(), 0)
      },
      { expected: /status of 403/ },
    )
  },
})
