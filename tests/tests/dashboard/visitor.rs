//! A browser without pages: cookies, forms and redirects.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::secrecy::plant;
use harness::wait::eventually;
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// A visitor with at most one session.
pub(crate) struct Browser {
    pub(crate) client: Client,
    base: String,
    /// As it is sent; empty: none.
    pub(crate) cookie: String,
}

impl Browser {
    pub(crate) fn new(deployment: &Deployment) -> Result<Self> {
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
        let value = self.cookie.split_once('=').map_or("", |(_, value)| value);
        plant("a session", value);
        Ok(set)
    }

    pub(crate) async fn follow(deployment: &Deployment, url: &str) -> Result<Self> {
        let mut browser = Self::new(deployment)?;
        let answer = browser.client.get(url).send().await?;
        let set = browser.take_cookie(&answer)?;
        ensure!(
            set.contains("; HttpOnly; SameSite=None; Secure; Partitioned"),
            "the script can read {set}, or a frame cannot have it"
        );
        Ok(browser)
    }

    pub(crate) async fn sign_in(deployment: &Deployment, key: &str) -> Result<Self> {
        let mut browser = Self::new(deployment)?;
        let body = format!("key={key}");
        let answer = browser.send("POST", "/sign-in", body).await?;
        let set = browser.take_cookie(&answer)?;
        ensure!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
        Ok(browser)
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: String) -> Result<Response> {
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

    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        self.send("GET", path, String::new()).await
    }

    /// A page that is there.
    pub(crate) async fn page(&self, path: &str) -> Result<String> {
        let answer = self.get(path).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == 200, "{path}: {status}: {text}");
        Ok(text)
    }

    /// Sends a form that is taken; where it leads.
    pub(crate) async fn submit(&self, path: &str, body: String) -> Result<String> {
        let answer = self.send("POST", path, body).await?;
        ensure!(answer.status() == 303, "{path}: {}", answer.status());
        let to = answer.headers().get(LOCATION).context("a place")?;
        Ok(to.to_str()?.to_owned())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// An event of this account and an attempt of it.
pub(crate) async fn a_message(deployment: &Deployment, account: &str) -> Result<(String, String)> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let types = ["message.incoming"];
    let endpoint = api.endpoint(account, &receiver.url("/"), &types).await?;
    let event = api.publish(account, types[0], &json!({})).await?;
    let attempts = eventually("an attempt", Duration::from_secs(10), async || {
        let attempts = api.attempts(account, &endpoint).await?;
        ensure!(!attempts.is_empty());
        Ok(attempts)
    })
    .await?;
    let attempt = attempts[0]["id"].as_str().context("an id")?.to_owned();
    Ok((event, attempt))
}

pub(crate) async fn portal(deployment: &Deployment, account: &str, body: &Value) -> Result<String> {
    let path = format!("/v1/accounts/{account}/portal-sessions");
    let made = deployment.api().post(201, &path, body).await?;
    Ok(made["url"].as_str().context("a url")?.to_owned())
}
