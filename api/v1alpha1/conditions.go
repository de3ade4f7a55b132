package v1alpha1

// Condition types of an OAuthClient. They follow kstatus, so that `kubectl wait`, Flux, Argo CD and Helm understand them.
const (
	// ConditionReady is True when the credential that is in the Secret now gets a token from every ready token server.
	//
	// Reasons when True: Issued.
	// Reasons when False: Suspended, NoScopeGranted, SecretConflict, WaitingForSecret, WeakSecret, WaitingForCertificate, InvalidKeys,
	// KeySetNotFetched, NoMethodAvailable, NamespaceTerminating, Forbidden, QuotaExceeded, SecretWriteFailed.
	ConditionReady = "Ready"

	// ConditionStalled is True, and otherwise absent, when nothing will change until somebody acts.
	//
	// Reasons when True: SecretConflict, WeakSecret.
	ConditionStalled = "Stalled"

	// ConditionRotating is True, and otherwise absent, while a client secret or generated key from before a rotation is still valid.
	//
	// Reasons when True: WaitingForWorkloads, WaitingForLastUse.
	ConditionRotating = "Rotating"

	// ConditionRestarted says whether the workloads of spec.rollout were restarted after the last rotation. It is absent where there
	// are none, or nothing has rotated.
	//
	// Reasons when True: Restarted.
	// Reasons when False: RestartForbidden, WorkloadNotFound, RestartFailed.
	ConditionRestarted = "Restarted"

	// ConditionScopesGranted says whether the client has all scopes that it asks for. It is absent where all of them are unowned, and
	// allowed.
	//
	// Reason when True: AllGranted.
	// Reasons when False: SomeDenied, SomePending, UnownedScopesForbidden.
	ConditionScopesGranted = "ScopesGranted"
)

// ConditionKeysAvailable says whether the assertions of an OAuthClient that signs with keys of its own can be verified. It is absent
// where the client has none, or Kubemint makes them.
//
// Reason when True: KeysValid.
// Reasons when False: InvalidKeys, KeySetNotFetched.
const ConditionKeysAvailable = "KeysAvailable"

// The conditions of a ResourceServer are ConditionReady and ConditionStalled: Ready is True while clients can get tokens for its
// audience.
//
// Reason when True: AudienceOwned.
// Reasons when False: AudienceConflict, AudienceReserved.

// Reasons of the conditions of a ResourceServer. The latter two are also why a client has no scope there.
const (
	// ReasonAudienceOwned: this ResourceServer is the owner of its audience.
	ReasonAudienceOwned = "AudienceOwned"
	// ReasonAudienceConflict: an older ResourceServer has the audience, so that this one grants nothing.
	ReasonAudienceConflict = "AudienceConflict"
	// ReasonAudienceReserved: the audience is the issuer's own default audience, which no ResourceServer can have.
	ReasonAudienceReserved = "AudienceReserved"
)

// Reasons of what became of a scope that a client asks for.
const (
	// ReasonAllowed: the ResourceServer's owner allows it.
	ReasonAllowed = "Allowed"
	// ReasonClientNotAllowed: the ResourceServer's owner does not allow it to this client (spec.allowedClients).
	ReasonClientNotAllowed = "ClientNotAllowed"
	// ReasonScopeNotDeclared: the ResourceServer has no such scope.
	ReasonScopeNotDeclared = "ScopeNotDeclared"
	// ReasonResourceServerNotFound: there is no such ResourceServer.
	ReasonResourceServerNotFound = "ResourceServerNotFound"
)

// Reasons of the conditions of an OAuthClient.
const (
	// ReasonIssued: the Secret holds working credentials.
	ReasonIssued = "Issued"
	// ReasonSuspended: spec.suspend is true. Credentials are kept; no token is issued.
	ReasonSuspended = "Suspended"
	// ReasonNoScopeGranted: none of the scopes that the client asks for is granted, so that it can get no token.
	ReasonNoScopeGranted = "NoScopeGranted"
	// ReasonAllGranted: every scope that the client asks for is granted.
	ReasonAllGranted = "AllGranted"
	// ReasonSomeDenied: a scope is denied; status.resources says by whom.
	ReasonSomeDenied = "SomeDenied"
	// ReasonSomePending: a ResourceServer, or a scope of it, is not there yet.
	ReasonSomePending = "SomePending"
	// ReasonUnownedScopesForbidden: the administrators do not allow spec.scopes in this namespace (--unowned-scopes).
	ReasonUnownedScopesForbidden = "UnownedScopesForbidden"
	// ReasonSecretConflict: the Secret's name is taken, by a Secret that Kubemint does not own or by another
	// OAuthClient. Choose another spec.secret.name, or delete or rename what has it.
	ReasonSecretConflict = "SecretConflict"
	// ReasonWaitingForSecret: spec.secret.source is Provided, and nobody has made the Secret yet, or it does not carry the label
	// oauth.kubemint.dev/client with the OAuthClient's name, or not the key.
	ReasonWaitingForSecret = "WaitingForSecret"
	// ReasonWeakSecret: the provided client secret is too short, too regular, or has characters that not all clients send alike. The
	// one before, if there was one, stays valid through the overlap.
	ReasonWeakSecret = "WeakSecret"
	// ReasonWaitingForCertificate: Kubemint has not made its certificate authority yet, and the Secret is to hold it.
	ReasonWaitingForCertificate = "WaitingForCertificate"
	// ReasonKeysValid: the client's keys are there, and good.
	ReasonKeysValid = "KeysValid"
	// ReasonInvalidKeys: a key in spec.authentication.privateKeyJWT.jwks is malformed or weak.
	ReasonInvalidKeys = "InvalidKeys"
	// ReasonKeySetNotFetched: the key set at spec.authentication.privateKeyJWT.jwksURI cannot be fetched, or holds no good key. Retried.
	ReasonKeySetNotFetched = "KeySetNotFetched"
	// ReasonNoMethodAvailable: the client can prove who it is in none of the ways that spec.authentication names: the message says why.
	ReasonNoMethodAvailable = "NoMethodAvailable"
	// ReasonNamespaceTerminating: the namespace is being deleted, and accepts no new Secret.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonForbidden: Kubemint's service account may not write Secrets here (RBAC or an admission policy).
	ReasonForbidden = "Forbidden"
	// ReasonQuotaExceeded: a ResourceQuota of the namespace leaves no room for the Secret.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonSecretWriteFailed: the API server did not take the Secret for another cause, named in the message. Retried.
	ReasonSecretWriteFailed = "SecretWriteFailed"

	// ReasonWaitingForWorkloads: running pods were started with the client secret from before.
	ReasonWaitingForWorkloads = "WaitingForWorkloads"
	// ReasonWaitingForLastUse: the client secret from before has been used lately, or might have been.
	ReasonWaitingForLastUse = "WaitingForLastUse"

	// ReasonRestarted: the workloads were restarted after the last rotation.
	ReasonRestarted = "Restarted"
	// ReasonRestartForbidden: Kubemint may not restart workloads (--restart-workloads and its ClusterRole).
	ReasonRestartForbidden = "RestartForbidden"
	// ReasonWorkloadNotFound: a workload of spec.rollout does not exist.
	ReasonWorkloadNotFound = "WorkloadNotFound"
	// ReasonRestartFailed: the API server did not take a restart for another cause, named in the message. Retried.
	ReasonRestartFailed = "RestartFailed"
)

// Reasons of the events on an OAuthClient, beside the reasons above.
const (
	// EventSecretUpdated: the Secret follows a change of the OAuthClient or of Kubemint's configuration.
	EventSecretUpdated = "SecretUpdated"
	// EventSecretRepaired: the Secret had been changed or deleted by somebody else, and was made good.
	EventSecretRepaired = "SecretRepaired"
	// EventSecretRenamed: the credential moved to the Secret that spec.secret.name names now.
	EventSecretRenamed = "SecretRenamed"
	// EventSecretRotated: there is a new client secret, and the one before is valid for a while longer.
	EventSecretRotated = "SecretRotated"
	// EventSecretRetired: a client secret from before is no longer valid.
	EventSecretRetired = "SecretRetired"
	// EventWorkloadRestarted: a workload of spec.rollout was restarted.
	EventWorkloadRestarted = "WorkloadRestarted"
)
