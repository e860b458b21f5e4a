//! The dashboard's doors: who gets in, to what, from where and for how long;
//! and a customer's whole way in a browser.

mod browser;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_portal_session_opens_one_account_and_no_other,
        a_portal_session_ends_with_its_time,
        a_session_ends_with_its_key,
        a_form_of_another_site_is_refused,
        pages_run_nothing_but_our_own_files,
        browser::a_customer_sets_up_tests_edits_and_deletes_an_endpoint,
        browser::the_same_way_works_without_script,
    ]
}

/// Every address of an account's pages; `{id}` and `{attempt}` are filled in.
const ROUTES: [(&str, &str); 16] = [
    ("GET", "/webhooks"),
    ("GET", "/webhooks/new"),
    ("POST", "/webhooks/new"),
    ("GET", "/webhooks/{id}"),
    ("POST", "/webhooks/{id}"),
    ("GET", "/webhooks/{id}/regenerate-secret"),
    ("POST", "/webhooks/{id}/regenerate-secret"),
    ("GET", "/webhooks/{id}/delete"),
    ("POST", "/webhooks/{id}/delete"),
    ("POST", "/webhooks/{id}/enable"),
    ("POST", "/webhooks/{id}/disable"),
    ("GET", "/webhooks/{id}/test"),
    ("POST", "/webhooks/{id}/test"),
    ("GET", "/webhooks/{id}/messages"),
    ("GET", "/attempts/{id}"),
    ("POST", "/attempts/{id}/resend"),
];

/// A browser without pages.
struct Browser {
    client: Client,
    base: String,
    cookie: String,
}

impl Browser {
    fn new(deployment: &Deployment) -> Result<Self> {
        Ok(Self {
            client: Client::builder().redirect(Policy::none()).build()?,
            base: deployment.http(),
            cookie: String::new(),
        })
    }

    /// Keeps the cookie that this answer sets.
    fn take_cookie(&mut self, answer: &Response) -> Result<String> {
        ensure!(answer.status() == 303, "{}", answer.status());
        let set = answer.headers().get(SET_COOKIE).context("a cookie")?;
        let set = set.to_str()?.to_owned();
        self.cookie = set.split(';').next().unwrap_or_default().to_owned();
        Ok(set)
    }

    async fn follow(deployment: &Deployment, url: &str) -> Result<Self> {
        let mut browser = Self::new(deployment)?;
        let answer = browser.client.get(url).send().await?;
        let set = browser.take_cookie(&answer)?;
        ensure!(
            set.contains("; HttpOnly; SameSite=Lax"),
            "the script can read {set}"
        );
        Ok(browser)
    }

    async fn sign_in(deployment: &Deployment, key: &str) -> Result<Self> {
        let mut browser = Self::new(deployment)?;
        let body = format!("key={key}");
        let answer = browser.send("POST", "/sign-in", body).await?;
        browser.take_cookie(&answer)?;
        Ok(browser)
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Result<Response> {
        let request = self
            .client
            .request(Method::from_bytes(method.as_bytes())?, self.url(path))
            .header(COOKIE, &self.cookie)
            .header(ORIGIN, &self.base);
        let request = match method {
            "GET" => request,
            _ => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body),
        };
        Ok(request.send().await?)
    }

    async fn get(&self, path: &str) -> Result<Response> {
        self.send("GET", path, String::new()).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

async fn portal(deployment: &Deployment, account: &str, body: &Value) -> Result<String> {
    let path = format!("/v1/accounts/{account}/portal-sessions");
    let made = deployment.api().post(201, &path, body).await?;
    Ok(made["url"].as_str().context("a url")?.to_owned())
}

async fn a_portal_session_opens_one_account_and_no_other(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let api = deployment.api();
    let types = ["message.report"];
    let own = api.endpoint("door-own", "https://example.com/own", &types);
    let own = own.await?;
    let other = api.endpoint("door-other", "https://example.com/other", &types);
    let other = other.await?;
    let url = portal(&deployment, "door-own", &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let home = customer.get("/").await?;
    ensure!(home.headers()[LOCATION] == "/accounts/door-own/webhooks");
    let page = customer.get("/accounts/door-own/webhooks").await?;
    ensure!(page.text().await?.contains("https://example.com/own"));
    for (method, route) in ROUTES {
        for (account, id) in [("door-other", &other), ("door-other", &own)] {
            let path = format!("/accounts/{account}{}", route.replace("{id}", id));
            let answer = customer.send(method, &path, String::new()).await?;
            ensure!(
                answer.status() == 404,
                "{method} {path}: {}",
                answer.status()
            );
        }
        // The other's endpoint is not found under one's own account either.
        if route.contains("{id}") {
            let path = format!("/accounts/door-own{}", route.replace("{id}", &other));
            let answer = customer.send(method, &path, String::new()).await?;
            ensure!(
                answer.status() == 404,
                "{method} {path}: {}",
                answer.status()
            );
        }
        let stranger = Browser::new(&deployment)?;
        let path = format!("/accounts/door-own{}", route.replace("{id}", &own));
        let answer = stranger.send(method, &path, String::new()).await?;
        ensure!(
            answer.status() == 401,
            "{method} {path}: {}",
            answer.status()
        );
    }
    let chosen = customer.get("/accounts?account=door-other").await?;
    ensure!(chosen.status() == 404, "{}", chosen.status());
    api.get(&format!("/v1/accounts/door-other/endpoints/{other}"))
        .await?;
    Ok(())
}

async fn a_portal_session_ends_with_its_time(deployment: Arc<Deployment>) -> Result<()> {
    let account = "door-time";
    let url = portal(&deployment, account, &json!({"ttl_seconds": 2})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let path = format!("/accounts/{account}/webhooks");
    eventually("the session ends", Duration::from_secs(10), async || {
        let status = customer.get(&path).await?.status();
        ensure!(status == 401, "{status}");
        Ok(())
    })
    .await?;
    let again = customer.client.get(&url).send().await?;
    ensure!(again.status() == 401, "{}", again.status());
    for wrong in [json!(0), json!(86_401), json!("1h")] {
        let path = format!("/v1/accounts/{account}/portal-sessions");
        let body = json!({"ttl_seconds": wrong});
        deployment.api().post(422, &path, &body).await?;
    }
    Ok(())
}

async fn a_session_ends_with_its_key(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let account = "door-key";
    let body = json!({"description": "a test", "scope": "admin", "account": account});
    let made = api.post(201, "/v1/keys", &body).await?;
    let key = made["key"].as_str().context("a key")?;
    let operator = Browser::sign_in(&deployment, key).await?;
    let path = format!("/v1/accounts/{account}/portal-sessions");
    let link = api.with_key(key).post(201, &path, &json!({})).await?;
    let link = link["url"].as_str().context("a url")?;
    let customer = Browser::follow(&deployment, link).await?;
    let page = format!("/accounts/{account}/webhooks");
    for browser in [&operator, &customer] {
        let answer = browser.get(&page).await?;
        ensure!(answer.status() == 200, "{}", answer.status());
    }
    let id = made["id"].as_str().context("an id")?;
    let (status, _) = api
        .call(Method::DELETE, &format!("/v1/keys/{id}"), None)
        .await?;
    ensure!(status == 204, "{status}");
    for browser in [&operator, &customer] {
        let answer = browser.get(&page).await?;
        ensure!(answer.status() == 401, "{}", answer.status());
    }
    Ok(())
}

async fn a_form_of_another_site_is_refused(deployment: Arc<Deployment>) -> Result<()> {
    let account = "door-csrf";
    let url = portal(&deployment, account, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let api = deployment.api();
    let id = api
        .endpoint(account, "https://example.com/", &["message.report"])
        .await?;
    let path = format!("/accounts/{account}/webhooks/{id}/delete");
    let evil: [&[(&str, &str)]; 4] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("sec-fetch-site", "cross-site")],
    ];
    for headers in evil {
        let mut request = customer.client.post(customer.url(&path));
        request = request.header(COOKIE, &customer.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        ensure!(answer.status() == 403, "{headers:?}: {}", answer.status());
    }
    api.get(&format!("/v1/accounts/{account}/endpoints/{id}"))
        .await?;
    let answer = customer.send("POST", &path, String::new()).await?;
    ensure!(answer.status() == 303, "{}", answer.status());
    Ok(())
}

async fn pages_run_nothing_but_our_own_files(deployment: Arc<Deployment>) -> Result<()> {
    let browser = Browser::new(&deployment)?;
    let answer = browser.get("/sign-in").await?;
    let headers = answer.headers().clone();
    let policy = headers["content-security-policy"].to_str()?;
    for part in ["default-src 'none'", "frame-ancestors 'none'"] {
        ensure!(policy.contains(part), "{policy}");
    }
    ensure!(!policy.contains("unsafe"), "{policy}");
    ensure!(headers["x-content-type-options"] == "nosniff");
    ensure!(headers["cache-control"] == "no-store");
    let page = answer.text().await?;
    ensure!(!page.contains(" style=") && !page.contains("<style"));
    let mut files = 0;
    for path in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let file = browser.get(path).await?;
        ensure!(file.status() == 200, "{path}: {}", file.status());
        let kept = file.headers()["cache-control"].to_str()?;
        ensure!(kept.contains("immutable"), "{path}: {kept}");
        files += 1;
    }
    ensure!(files >= 3, "{files} files");
    Ok(())
}
