//! `/v1/master-keys`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Answer;
use super::request::Caller;
use crate::core::{Control, MasterKeysView};

/// A master key, by its id; the key itself never leaves its process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MasterKey {
    /// A part of the key's SHA-256.
    id: String,
    /// What is sealed now is sealed under it.
    active: bool,
    /// The process that answers has it.
    configured: bool,
    /// So many secrets and headers are sealed under it.
    sealed: u64,
}

/// All master keys: there are few.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MasterKeys {
    master_keys: Vec<MasterKey>,
    /// Changes of endpoints that the dispatchers are not told of yet, 256 at
    /// most. A key under which nothing is sealed may go when this is 0.
    untold: usize,
}

impl From<MasterKeysView> for MasterKeys {
    fn from(view: MasterKeysView) -> Self {
        let untold = view.untold;
        let keys = view.keys.into_iter().map(|view| MasterKey {
            id: view.id,
            active: view.active,
            configured: view.configured,
            sealed: view.sealed,
        });
        Self {
            master_keys: keys.collect(),
            untold,
        }
    }
}

/// Lists the master keys
///
/// By their ids, with what is sealed under each.
#[utoipa::path(get, path = "/v1/master-keys", tag = "keys", operation_id = "listMasterKeys",
    security(("key" = ["admin"])),
    responses((status = 200, description = "All of them.", body = MasterKeys)))]
pub(super) async fn list(
    State(control): State<Control>,
    Caller(identity): Caller,
) -> Answer<Json<MasterKeys>> {
    Ok(Json(control.master_keys(&identity).await?.into()))
}

/// Changes the master key
///
/// The last one of `POSTRIDER_MASTER_KEY` that has never sealed seals from now
/// on, and everything is sealed anew under it, in the background. Every process
/// must have it before. 409 if there is none.
#[utoipa::path(post, path = "/v1/master-keys/rotate", tag = "keys",
    operation_id = "rotateMasterKey", security(("key" = ["admin"])),
    responses((status = 202, description = "Begun.", body = MasterKeys)))]
pub(super) async fn rotate(
    State(control): State<Control>,
    Caller(identity): Caller,
) -> Answer<(StatusCode, Json<MasterKeys>)> {
    control.rotate_master_key(&identity).await?;
    let keys = control.master_keys(&identity).await?;
    Ok((StatusCode::ACCEPTED, Json(keys.into())))
}
