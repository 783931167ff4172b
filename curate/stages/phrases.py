"""What chat models say when they decline, and around what they were asked for, in ten languages.

A refusal is told by its beginning, at two levels. *Declines*: the model says what it will not do ("I can't help with",
"as an AI"): a refusal however long the answer is. *Regrets*: an apology or a bare "I can't": a refusal only when there is
hardly anything else, because texts begin like that, too. What begins with a quotation mark, or goes on with who said it, is
speech in a story. The tables are code: they are rules, and a stage that uses others is another revision of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LANGUAGES", "Phrases"]


@dataclass(frozen=True)
class Phrases:
    """The phrases of a language, as parts of regular expressions over text in lower case with straight apostrophes.

    Attributes:
        regrets: apologies, and "I can't" with whatever behind it.
        declines: what the model will not do; an apology, "unfortunately" and "but" may stand before it.
        agrees: words that open an answer and say nothing: "Sure!", "Of course."; an end of a sentence must follow.
        presents: openings that present what follows, up to a colon: "Here is the text:".
        remakes: words for a text made anew, which make such an opening one of its own line or not: "a paraphrase of".
        closes: how a last paragraph begins that speaks to the user.
    """

    regrets: str
    declines: str
    agrees: str
    presents: str
    remakes: str
    closes: str


_DO_EN: Final = (
    r"(?:help|assist|provid|creat|generat|writ|fulfil|comply|continu|answer|complet|do (?:that|this|it|so)\b|support|engag|discuss|offer"
    r"|shar|produc|respond|process|access|browse|open|paraphras|rephras|rewrit|summari|translat|see (?:the|any|your)\b|recall|find (?:the|any) (?:text|document|passage)"
    r"|give (?:you|that|this|advice)|recommend|perform|participat|proceed|accommodat|satisf|reproduc|view)"
)

LANGUAGES: Final[dict[str, Phrases]] = {
    "en": Phrases(
        regrets=r"(?:(?:i'?m|i am) (?:really |very |so |truly |deeply )?sorry|(?:my )?apologies,|sorry[,.!]|sorry (?:but|about|for)\b|i regret (?:to (?:inform|tell|say)|that)(?: you)?|i apologi[sz]e|please accept my|i (?:can ?not(?! only)|can't|won't|will not|am unable|am not able|must decline)|i'm (?:unable|not able)|unfortunately,? i\b)",
        declines=(
            r"as an? (?:ai\b|artificial|(?:large |text-based )?language model|assistant|responsible)"
            rf"|i(?:'m| am) (?:just |only )?an? (?:ai\b|(?:large )?language model)"
            rf"|i (?:can ?not|can't|could not|couldn't|won't|will not|am (?:currently )?(?:unable|not able) to|do not|don't|must refuse to|cannot and will not)(?! only)(?: be able to| currently| directly| actually| simply| in good conscience| ethically)? {_DO_EN}"
            rf"|i'm (?:currently )?(?:unable|not able) to {_DO_EN}"
            r"|i(?:'m| am) (?:(?:programmed|designed|trained) (?:to|not|by|for) |not (?:comfortable|allowed|permitted|programmed|designed|trained))"
            r"|i (?:do not|don't) (?:feel comfortable|have (?:access to|the ability|enough (?:information|context)|the capability|(?:any )?(?:information|context) (?:about|on)))"
            r"|i (?:must|have to|need to|will have to|would like to|'d prefer to|would prefer to|respectfully) (?:respectfully |politely )?(?:decline|refuse)"
            r"|i(?:'d| would) (?:prefer|rather) not (?:to )?(?:write|provide|create|generate|discuss|help)"
            r"|(?:it (?:is|would be)|it's|that is|that's) (?:(?:not (?:appropriate|ethical)|inappropriate|unethical|wrong) (?:for me|to (?:write|provide|create|generate|discuss|help|share|give|assist))|not something i|against (?:my|our) )"
            r"|(?:this|your|the) (?:request|prompt|content|topic) (?:(?:violates|goes against|is against|conflicts with)[^.!?\n]{0,40}(?:polic|guideline|rules|terms|principle|standards)|is (?:not something i|inappropriate|harmful))"
            r"|(?:my|openai's|the) (?:guidelines|programming|policies|content policy|safety guidelines) (?:do not|don't|prevent|prohibit|forbid)"
            r"|(?:you|it (?:seems|looks like|appears)(?: that)? you) (?:did not|didn't|have not|haven't|forgot to) (?:provide|include|attach|paste|share|give|specif)"
            r"|please provide (?:me with )?(?:the|a|more|some|your) (?:text|document|passage|extract|article|information|context|details)"
        ),
        agrees=r"sure(?: thing)?|certainly|of course|absolutely|okay|ok|great(?: question)?|got it|understood|no problem|alright|gladly|happy to help|i(?:'d| would) be (?:happy|glad|delighted) to(?: help(?: you)?)?(?: with (?:that|this))?",
        presents=r"(?:here(?:'s| is| are|'re| goes)|below (?:is|are|you(?:'ll| will) find)|the following (?:is|are)|i(?:'ve| have) (?:written|rewritten|created|prepared|rephrased|paraphrased)|this is (?:a|the|my) (?:paraphras|rewrit|rephras|section|passage))\b",
        remakes=r"paraphras\w*|rephras\w*|rewrit\w*|rewrote|re-?written|rewording|reworded|condensed version|distilled version|wikipedia-style|revised version",
        closes=r"i hope|hope (?:this|that|it)|let me know|feel free|please (?:let me know|feel free|note that (?:this|i|the (?:above|text)))|if you (?:have any|need|would like|want|'d like)|happy (?:coding|learning|reading)|would you like me|do you (?:want|need) me|is there anything|(?:\*\*)?note:(?:\*\*)? (?:this|i|the (?:above|paraphrase|text|passage))|this (?:paraphrase|rewrite|version|section|passage) (?:maintains|preserves|retains|keeps|captures|covers|provides|is written)|i(?:'ve| have) (?:tried|aimed|made sure|kept|maintained|used)",
    ),
    "de": Phrases(
        regrets=r"(?:es tut mir (?:sehr |wirklich )?leid|tut mir (?:sehr )?leid|entschuldigung|entschuldige|verzeihung|leider (?:(?:kann|darf|bin) ich|ist es mir)|ich kann (?:leider |das |dir |ihnen )|ich bedaure)",
        declines=(
            r"als (?:ki\b|künstliche intelligenz|sprachmodell|(?:ein )?ki-?(?:modell|assistent|sprachmodell))"
            r"|ich bin (?:nur )?ein(?:e)? (?:ki\b|sprachmodell|künstliche)"
            r"|(?:ich (?:kann|darf|werde)|kann ich|darf ich|werde ich)(?: \w+){0,3}? (?:nicht|keine?n?)\b[^.!?\n]{0,60}?(?:helfen|weiterhelfen|schreiben|erstellen|bereitstellen|beantworten|liefern|anbieten|unterstützen|nachkommen|umschreiben|zusammenfassen|übersetzen|verfassen|erfüllen|behilflich)"
            r"|ich bin nicht in der lage"
            r"|(?:ich muss|muss ich) (?:das|diese anfrage|dies|ihre anfrage|deine anfrage) (?:leider )?ablehnen"
            r"|(?:diese|ihre|deine) anfrage (?:verstößt|widerspricht)"
        ),
        agrees=r"gerne?|natürlich|klar|selbstverständlich|sicher|na klar|aber gerne?|in ordnung|okay|sehr gerne?|kein problem|verstanden",
        presents=r"(?:hier (?:ist|sind|kommt|folgt)|(?:im folgenden|nachfolgend|unten) (?:ist|sind|findest|finden|steht)|es folgt)\b",
        remakes=r"umformul\w*|umschreib\w*|umgeschrieben\w*|neu (?:formuliert|geschrieben)\w*|paraphras\w*|überarbeitete\w*",
        closes=r"ich hoffe|(?:wenn|falls) (?:du|sie|ihr) (?:noch |weitere |fragen|mehr)|lass(?:en sie)? (?:es )?mich wissen|bei (?:weiteren )?fragen|melde dich|zögern sie nicht|möchten sie,? dass ich|soll ich",
    ),
    "fr": Phrases(
        regrets=r"(?:(?:je suis )?(?:vraiment |sincèrement )?désolée?|je m'excuse|(?:toutes )?mes excuses|malheureusement,? je|je regrette|je ne (?:peux|puis) (?:pas|malheureusement))",
        declines=(
            r"en tant qu(?:e |')(?:ia\b|intelligence artificielle|modèle (?:de langage|linguistique)|assistant)"
            r"|je suis une? (?:ia\b|intelligence artificielle|modèle de langage)"
            r"|je ne (?:peux|puis|pourrai|suis pas en mesure|suis malheureusement pas en mesure)(?: \w+)?(?: pas| malheureusement pas)?(?: de| vous| t')?\b[^.!?\n]{0,40}?(?:aider|fournir|rédiger|écrire|créer|générer|répondre|assister|reformuler|traduire|résumer|produire|accéder|satisfaire|proposer|donner suite)"
            r"|je ne suis pas (?:autorisée?|en mesure|capable|programmée?)"
            r"|je (?:dois|préfère) (?:malheureusement |respectueusement )?(?:refuser|décliner)"
            r"|(?:cette|votre) demande (?:enfreint|viole|va à l'encontre)"
        ),
        agrees=r"bien sûr|certainement|d'accord|absolument|avec plaisir|volontiers|entendu|très bien|pas de problème",
        presents=r"(?:voici|voilà|ci-dessous|vous trouverez ci-dessous)\b",
        remakes=r"reformul\w*|paraphras\w*|réécri\w*|récri\w*|version (?:revue|remaniée)",
        closes=r"j'espère|n'hésite(?:z)? pas|si vous (?:avez|souhaitez|voulez|désirez)|si tu (?:as|veux|souhaites)|faites-moi savoir|dites-moi|souhaitez-vous que|voulez-vous que",
    ),
    "es": Phrases(
        regrets=r"(?:lo siento(?: mucho)?|lo lamento|disculpa|disculpe|perdón|perdona|mis disculpas|lamentablemente,? no|desafortunadamente,? no|me temo que no|no puedo)",
        declines=(
            r"como (?:una? )?(?:ia\b|inteligencia artificial|modelo de lenguaje|asistente)"
            r"|soy (?:solo )?una? (?:ia\b|inteligencia artificial|modelo de lenguaje)"
            r"|no (?:puedo|podré|me es posible|soy capaz de|estoy en condiciones de|estoy autorizad[oa] (?:a|para))(?: \w+){0,2}? ?(?:ayudar|proporcionar|escribir|crear|generar|responder|asistir|redactar|ofrecer|cumplir|reformular|parafrasear|traducir|resumir|acceder|continuar|hacer eso|hacerlo|brindar|dar)"
            r"|no (?:me es posible|tengo permitido|estoy autorizad[oa]|tengo acceso)"
            r"|debo (?:rechazar|declinar)|(?:esta|su|tu) solicitud (?:infringe|viola|va en contra)"
        ),
        agrees=r"claro(?: que sí)?|por supuesto|desde luego|con gusto|con mucho gusto|de acuerdo|entendido|vale|perfecto|seguro",
        presents=r"(?:aquí (?:tienes?|está|están|te|le|va|os)|a continuación|este es|esta es|he aquí)\b",
        remakes=r"parafras\w*|paráfrasis|reformul\w*|reescri\w*|versión (?:revisada|reescrita)",
        closes=r"espero que|no dudes? en|si (?:tienes?|necesitas?|desea|deseas|quieres?)|háganmelo saber|házmelo saber|avísame|quieres que|¿(?:quieres?|te gustaría|desea|hay algo)",
    ),
    "it": Phrases(
        regrets=r"(?:mi dispiace(?: molto)?|mi scuso|scusa|scusami|spiacente|purtroppo,? non|sono spiacente|non posso)",
        declines=(
            r"(?:in qualità di|in quanto|come) (?:un'?|una )?(?:ia\b|intelligenza artificiale|modello (?:di linguaggio|linguistico)|assistente)"
            r"|sono (?:solo )?un(?:'|a )?\s?(?:ia\b|intelligenza artificiale|modello linguistico)"
            r"|non (?:posso|sono in grado di|mi è possibile|potrò)(?: \w+){0,2}? ?(?:aiutar|assister|fornir|scriver|crear|generar|risponder|parafrasar|riformular|tradur|riassumer|acceder|soddisfar|offrir|continuar|farlo|procedere|redigere)"
            r"|non sono (?:autorizzat[oa]|programmat[oa]|in grado)|devo (?:rifiutare|declinare)"
            r"|(?:questa|la tua|la sua) richiesta (?:viola|va contro)"
        ),
        agrees=r"certo|certamente|naturalmente|va bene|con piacere|volentieri|d'accordo|ok|assolutamente|perfetto",
        presents=r"(?:ecco|di seguito|qui (?:sotto|di seguito)|questo è|questa è)\b",
        remakes=r"parafras\w*|riformula\w*|riscri\w*|versione (?:rivista|riscritta)",
        closes=r"spero che|fammi sapere|mi faccia sapere|se hai (?:altre|bisogno|domande)|se (?:desidera|vuoi|desideri)|non esitare|vuoi che|desidera che",
    ),
    "pt": Phrases(
        regrets=r"(?:sinto muito|lamento|desculpe|desculpa|peço desculpas?|infelizmente,? (?:não|eu não)|perdão|(?:eu )?não posso)",
        declines=(
            r"como (?:uma? )?(?:ia\b|inteligência artificial|modelo de linguagem|assistente)"
            r"|(?:eu )?sou (?:apenas )?uma? (?:ia\b|inteligência artificial|modelo de linguagem)"
            r"|(?:eu )?não (?:posso|consigo|poderei|sou capaz de|estou autorizad[oa] a|me é possível)(?: \w+){0,2}? ?(?:ajudar|ajudá|fornecer|escrever|criar|gerar|responder|auxiliar|redigir|oferecer|atender|parafrasear|reformular|traduzir|resumir|acessar|aceder|continuar|fazer isso|cumprir)"
            r"|(?:eu )?não (?:tenho permissão|estou autorizad[oa]|tenho acesso)|devo (?:recusar|declinar)"
            r"|(?:esta|essa|sua|a sua) solicitação (?:viola|vai contra)"
        ),
        agrees=r"claro(?: que sim)?|com certeza|certamente|com prazer|é claro|entendido|está bem|tudo bem|perfeito",
        presents=r"(?:aqui (?:está|estão|vai|tem)|a seguir|abaixo (?:está|estão|segue)|segue(?:m)? (?:abaixo|o|a|os|as|um|uma)?|eis)\b",
        remakes=r"paráfras\w*|parafrase\w*|reformul\w*|reescri\w*|versão (?:revisada|reescrita)",
        closes=r"espero que|sinta-se à vontade|se (?:você )?(?:tiver|precisar|quiser|desejar)|avise-me|me avise|não hesite|gostaria que eu|quer que eu",
    ),
    "ru": Phrases(
        regrets=r"(?:извините|простите|к сожалению,? (?:я )?не|прошу прощения|сожалею|мне (?:очень )?жаль|(?:я )?не могу)",
        declines=(
            r"(?:как|будучи) (?:ии\b|искусственный интеллект|искусственным интеллектом|языковая модель|языковой моделью|ии-ассистент|виртуальный ассистент)"
            r"|я (?:всего лишь |просто )?(?:ии\b|искусственный интеллект|языковая модель)"
            r"|(?:я )?не (?:могу|смогу|в состоянии|имею возможности|буду)(?: \w+){0,2}? ?(?:помо|предостав|написа|созда|ответи|выполн|сгенерир|перефразир|перепис|перевести|обсужда|продолж|сделать это|помочь|писать)"
            r"|(?:я )?(?:должен|вынужден)а? отказат|(?:этот|ваш|данный) запрос (?:нарушает|противоречит)"
        ),
        agrees=r"конечно|разумеется|хорошо|с удовольствием|безусловно|понял|отлично|ладно",
        presents=r"(?:вот|ниже (?:приведен|приведён|представлен|следует)\w*|далее (?:приведен|приведён|следует)\w*)\b",
        remakes=r"перефразир\w*|переписан\w*|переформулир\w*|перифраз\w*|переработанн\w*",
        closes=r"надеюсь|если у вас (?:есть|возник|остал)|если (?:вам|вы|хотите)|дайте (?:мне )?знать|не стесняйтесь|обращайтесь|хотите, чтобы я",
    ),
    "zh": Phrases(
        regrets=r"(?:(?:很|非常|十分)?抱歉|对不起|對不起|不好意思|很遗憾|很遺憾|我(?:无法|無法|不能))",
        declines=(
            r"(?:作为|作為|身为|身為)(?:一[个個名])?(?:ai|人工智能|人工智慧|语言模型|語言模型|大型语言模型|大型語言模型)"
            r"|我(?:只)?是(?:一[个個])?(?:ai|人工智能|语言模型|語言模型)"
            r"|我?(?:无法|無法|不能|没有办法|沒有辦法|不可以|没法)(?:为您|為您|帮您|幫您|帮助您|向您|直接|继续|對此|对此)?(?:提供|协助|協助|帮助|幫助|回答|写|寫|创建|創建|生成|完成|满足|滿足|处理|處理|改写|改寫|翻译|翻譯|访问|訪問|讨论|討論|执行|继续)"
            r"|(?:这个|這個|您的|该|該)(?:请求|請求|要求|问题|問題)(?:违反|違反|涉及|不符合)"
        ),
        agrees=r"好的|当然(?:可以)?|當然(?:可以)?|没问题|沒問題|可以|明白(?:了)?",
        presents=r"(?:以下(?:是|为|為)|下面(?:是|为|為)|这(?:里)?是|這(?:裡)?是)",
        remakes=r"改写|改寫|重写|重寫|重述|释义|釋義|改述",
        closes=r"希望(?:这|這|以上|对|對)|如果您?(?:有|需要|还|還)|如有|请(?:随时|告诉我|告知)|請(?:隨時|告訴我)|需要我|您还需要",
    ),
    "ja": Phrases(
        regrets=r"(?:(?:大変|誠に)?申し訳(?:ありません|ございません|ない)|すみません|ごめんなさい|残念ながら|恐れ入りますが)",
        declines=(
            r"(?:私は)?(?:ai|人工知能|言語モデル|大規模言語モデル)(?:として|ですので|であるため|アシスタントとして)"
            r"|(?:その|この|ご)?(?:リクエスト|要求|質問|ご質問|ご要望|依頼)(?:に|は|には)(?:お応え|お答え|応じ|対応)[^。\n]{0,12}(?:できません|できかね|かねます|ることができません)"
            r"|[^。\n]{0,30}(?:に|には)(?:対応|お応え|お答え)(?:できません|できかねます|することはできません)"
            r"|(?:お手伝い|お答え|提供|作成|対応|回答|生成|執筆|書くこと|応じること|お応え|書き換え|言い換え)[^。\n]{0,12}(?:できません|できかねます|いたしかねます|ことはできません|かねます)"
        ),
        agrees=r"もちろん(?:です)?|はい|承知(?:しました|いたしました)|わかりました|了解(?:しました|です)|かしこまりました|喜んで",
        presents=r"(?:以下(?:は|が|に)|こちら(?:は|が)|次(?:は|が|に))",
        remakes=r"言い換え|書き換え|パラフレーズ|リライト|書き直",
        closes=r"(?:これ|以上|この).{0,12}(?:お役に立て|参考になれば|役立)|お役に立て|ご参考|(?:他に|何か|ご不明|ご質問)|必要であれば|お気軽に",
    ),
    "ko": Phrases(
        regrets=r"(?:(?:정말 )?죄송(?:합니다|하지만|해요)|미안(?:합니다|하지만|해요)|유감스럽게도|안타깝게도)",
        declines=(
            r"(?:저는 )?(?:ai|인공지능|언어 모델|대규모 언어 모델)(?:로서|이기 때문에|으로서|입니다)"
            r"|(?:[^.\n]{0,40})?(?:도와드릴|도움을 드릴|제공할|제공해 드릴|작성할|작성해 드릴|답변할|답변해 드릴|생성할|응할|처리할|드릴) 수(?:가|는)? 없"
        ),
        agrees=r"물론(?:입니다|이죠|이에요)?|알겠습니다|좋습니다|그럼요",
        presents=r"(?:다음은|아래는|여기)",
        remakes=r"바꿔 ?쓴|다시 ?쓴|의역|재작성",
        closes=r"도움이 되|궁금한|추가로|필요하시면|언제든지",
    ),
}
"""By the language's code. All are tried: what a model answers in need not be what it was asked in."""
